// The side panel: objects, the tool's settings, propagation, view, gauges.
import { act, ask } from "./api.js";
import { atHand, prefetch } from "./frames.js";
import { icon } from "./icons.js";
import { say } from "./notices.js";
import { emit, objectOf, on, tab, told } from "./state.js";
import { go } from "./player.js";
import { selectObject, setBox, toolOf } from "./tools.js";

const $ = (id) => document.getElementById(id);
export const MODES = [["mask", "Mask"], ["contour", "Contour"], ["fade", "Fade"], ["light", "Light"], ["none", "None"]];
const trouble = (error) => say(error.message, true);

// Objects

export async function addObject() {
  const label = told.next;
  await act({ do: "add", object: label }).then(() => selectObject(label)).catch(trouble);
}
export function toggleLock(id = tab.object) {
  const one = objectOf(id);
  if (one) act({ do: one.locked ? "unlock" : "lock", object: id }).catch(trouble);
}
export function toggleHidden(id = tab.object) {
  const one = objectOf(id);
  if (one) ask({ look: { object: id, hidden: !one.hidden } }).catch(trouble);
}
export function deleteObject(id = tab.object) {
  const one = objectOf(id);
  if (one?.locked) say(`${one.name} is locked: press L to unlock it.`, true);
  else if (one) act({ do: "delete", object: id }).then(() => say(`${one.name} is deleted from all frames. Undo brings it back.`)).catch(trouble);
}
export function renameObject() {
  const name = document.querySelector(`#objects li[data-id="${tab.object}"] input.name`);
  if (!name?.readOnly) return;
  name.readOnly = false;
  name.focus();
  name.select();
}

function small(name, title, set, act) {
  const button = document.createElement("button");
  button.append(icon(name));
  button.title = title;
  button.setAttribute("aria-label", title);
  button.classList.toggle("set", set);
  button.onclick = (event) => {
    event.stopPropagation();
    act();
  };
  return button;
}

function listObjects() {
  const list = $("objects");
  if (list.contains(document.activeElement) && document.activeElement.matches("input")) return; // being edited
  list.replaceChildren(...told.objects.map((one, at) => {
    const row = document.createElement("li");
    row.dataset.id = one.id;
    row.setAttribute("aria-current", one.id === tab.object);
    row.classList.toggle("hidden", one.hidden);
    row.onclick = (event) => {
      selectObject(one.id); // which lists the objects anew: browsers send no dblclick for the second of two rows
      if (event.detail === 2 && !event.target.matches("input[type=color]")) renameObject();
    };
    const colour = Object.assign(document.createElement("input"), { type: "color", value: one.colour, title: "Colour" });
    colour.onchange = () => ask({ look: { object: one.id, colour: colour.value } }).catch(trouble).finally(() => colour.blur());
    const name = Object.assign(document.createElement("input"), { className: "name", value: one.name, maxLength: 60, title: "Double click to rename (N)", spellcheck: false, readOnly: true, tabIndex: -1 });
    name.onmousedown = (event) => name.readOnly && event.preventDefault(); // a click chooses the object; keys are still for the frame
    name.onkeydown = (event) => {
      event.stopPropagation();
      if (event.key === "Enter" || event.key === "Escape") {
        if (event.key === "Escape") name.value = one.name;
        name.blur();
      }
    };
    name.onblur = () => {
      if (name.readOnly) return;
      name.readOnly = true;
      if (name.value.trim() && name.value !== one.name) ask({ look: { object: one.id, name: name.value.trim() } }).catch(trouble);
      else setTimeout(listObjects);
    };
    row.append(colour, name);
    if (at < 9) row.append(Object.assign(document.createElement("kbd"), { textContent: at + 1 }));
    row.append(
      small(one.hidden ? "closed" : "eye", one.hidden ? "Show (G)" : "Hide (G)", one.hidden, () => toggleHidden(one.id)),
      small(one.locked ? "lock" : "open", one.locked ? "Unlock (L)" : "Lock: nothing changes it (L)", one.locked, () => toggleLock(one.id)),
      small("trash", "Delete from all frames (Del)", false, () => deleteObject(one.id)),
    );
    return row;
  }));
  const background = document.createElement("li");
  background.dataset.id = 0;
  background.setAttribute("aria-current", tab.object === 0);
  background.onclick = () => selectObject(0);
  background.append(
    Object.assign(document.createElement("span"), { className: "swatch" }),
    Object.assign(document.createElement("span"), { className: "name", textContent: "Background" }),
    Object.assign(document.createElement("kbd"), { textContent: "0" }),
  );
  list.append(background);
  $("objects-hint").textContent = told.objects.length ? "" : "No objects yet. Add one, then mark it on a frame.";
}

// The tool

function showTool() {
  const tool = toolOf(tab.tool);
  $("tool-name").textContent = tool.name;
  $("tool-hint").textContent = tab.pen ? "Keyboard pen: arrows move it (Shift: 10 pixels), Enter presses and lifts it, K puts it away." : tool.hint;
  $("size-row").hidden = tab.tool !== "brush" && tab.tool !== "eraser";
  $("size").value = tab.size;
  $("size-value").textContent = `${tab.size} px`;
  $("box-row").hidden = !tab.box;
}
$("size").oninput = () => {
  tab.size = Number($("size").value);
  emit("tool");
};
$("box-clear").onclick = () => setBox(null);

// Propagation

export function propagate() {
  if (!told.can.propagate) return say("Propagation needs a propagation network: start the program with --network small, or with a checkpoint of your own. Without it, every frame is marked by hand.", true);
  const frame = source();
  if (frame === null) return say("There is nothing to propagate yet: mark an object on a frame first.", true);
  const bound = (id) => ($("range").open && $(id).value !== "" ? { [id]: Number($(id).value) } : {});
  const direction = tab.direction === "both" ? {} : { direction: tab.direction };
  act({ do: "propagate", frame, ...direction, ...bound("first"), ...bound("last") }).then((done) => say(done)).catch(trouble);
}

// The frame that Enter propagates: this one if it was corrected, else the last corrected one.
function source() {
  if (told.corrected.includes(tab.frame)) return tab.frame;
  if (told.corrected.length) return told.corrected.at(-1);
  return told.interacted.has(tab.frame) ? tab.frame : null;
}

function showPropagation() {
  const frame = source();
  const running = told.progress;
  $("propagate").disabled = Boolean(running) || frame === null || !told.can.propagate;
  $("propagate").hidden = Boolean(running);
  $("propagate").querySelector("svg").nextSibling.textContent = frame === null ? "Propagate" : `Propagate frame ${frame}`;
  const open = told.corrected.length;
  $("propagate-hint").textContent = !told.ready ? "" : !told.can.propagate
    ? "There is no propagation network. Mark every frame by hand, or start the program with --network small or a checkpoint of your own: it propagates the masks of one frame to all others."
    : running ? "You can look at all frames meanwhile. Masks can be changed again when it ends." : frame === null ? (told.rounds ? "Everything is propagated. Find a frame that is wrong (D), correct it, and propagate again." : "Mark objects on any frame first. Then propagate them to the whole video.")
    : open > 1 ? `${open} frames are corrected and wait: ${told.corrected.join(", ")}.` : open ? "The corrected frame is propagated to the others. It keeps exactly your mask." : "This frame was propagated. It can be propagated again, for example to another range.";
  $("progress").hidden = !running;
  for (const button of $("direction").children) button.setAttribute("aria-checked", button.dataset.value === tab.direction);
  if (!running) return;
  $("progress-bar").value = running.total ? Math.min(1, running.done / running.total) : 0;
  const left = running.left == null ? "" : running.left > 90 ? ` · ${Math.round(running.left / 60)} min left` : ` · ${Math.ceil(running.left)} s left`;
  $("progress-text").textContent = running.paused ? `paused at ${running.done} of ${running.total}` : `${running.done} of ${running.total}${left}`;
  $("pause").textContent = running.paused ? "Go on" : "Pause";
}
// "Follow" shows a frame once its mask has arrived, unless a later one is already shown.
const made = new Map(); // frame -> how many were made before it
on("progress", () => {
  const frame = told.progress?.frame;
  if (frame == null) return made.clear();
  if (!made.has(frame)) made.set(frame, made.size);
  if ($("follow").checked) prefetch([frame]);
  follow(frame);
});
on("loaded", follow);
function follow(frame) {
  if ($("follow").checked && made.has(frame) && atHand(frame) && !(made.get(frame) <= made.get(tab.frame))) go(frame);
}
$("propagate").onclick = propagate;
for (const bound of [$("first"), $("last")]) {
  on("hello", () => (bound.max = told.frames - 1));
  bound.onchange = () => {
    if (bound.value !== "") bound.value = Math.min(told.frames - 1, Math.max(0, Math.round(bound.value)));
  };
}
export const pauseOrGoOn = () => ask({ control: told.progress?.paused ? "resume" : "pause" }).catch(trouble);
export const cancel = () => ask({ control: "cancel" }).catch(trouble);
$("pause").onclick = pauseOrGoOn;
$("cancel").onclick = cancel;
$("direction").onclick = (event) => {
  const value = event.target.closest("button")?.dataset.value;
  if (!value) return;
  tab.direction = value;
  showPropagation();
};

// View

for (const [mode, name] of MODES) {
  const button = Object.assign(document.createElement("button"), { textContent: name });
  button.dataset.value = mode;
  button.setAttribute("role", "radio");
  button.onclick = () => setMode(mode);
  $("overlay").append(button);
}
export function setMode(mode) {
  tab.mode = mode;
  emit("look");
}
export function nextMode() {
  const at = MODES.findIndex(([mode]) => mode === tab.mode);
  setMode(MODES[(at + 1) % MODES.length][0]);
}
export function setOpacity(value) {
  tab.opacity = Math.min(1, Math.max(0, value));
  emit("look");
}
export function compare() {
  if (!tab.before && !told.rounds) return say("There is no earlier round to compare with: propagate first.", true);
  tab.before = !tab.before;
  emit("look");
}
$("opacity").oninput = () => setOpacity(Number($("opacity").value) / 100);
$("compare").onclick = compare;

function showLook() {
  for (const button of $("overlay").children) button.setAttribute("aria-checked", button.dataset.value === tab.mode);
  $("opacity").value = Math.round(100 * tab.opacity);
  $("opacity-value").textContent = `${Math.round(100 * tab.opacity)} %`;
  $("compare").setAttribute("aria-pressed", tab.before);
  $("compare").disabled = !told.rounds && !tab.before;
  $("badge").hidden = !tab.before;
  $("badge").textContent = "Masks before the last round (X: return)";
}

// Gauges

const bytes = (n) => (n > 2e9 ? `${(n / 2 ** 30).toFixed(1)} GiB` : `${Math.round(n / 2 ** 20)} MiB`);
const seconds = (n) => (n < 1 ? `${Math.round(1000 * n)} ms` : n < 100 ? `${n.toFixed(1)} s` : `${Math.round(n / 60)} min`);
function showGauges() {
  const { ram, gpu, queue, memory_frames: memory, cached_frames: cached, undo_bytes: undo, computed, saved } = told.gauges;
  const took = computed ? [["Last step + saving", `${seconds(computed)} + ${seconds(saved)}`]] : [];
  const rows = [["Frames in memory", memory], ["Encoded frames kept", cached], ["RAM", bytes(ram || 0)], ...(gpu === undefined ? [] : [["GPU memory", bytes(gpu)]]),
    ["Undo", `${told.undo} ${told.undo === 1 ? "step" : "steps"}, ${bytes(undo || 0)}`], ["Waiting requests", queue], ...took];
  $("gauges").replaceChildren(...rows.flatMap(([name, value]) => [
    Object.assign(document.createElement("span"), { textContent: name }), Object.assign(document.createElement("b"), { textContent: value ?? 0 }),
  ]));
}

on("state hello", listObjects);
on("tool hello", showTool);
on("state progress frame hello", showPropagation);
on("look state hello", showLook);
on("gauges state", showGauges);
$("add").onclick = addObject;

