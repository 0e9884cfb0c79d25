// All keys, and the help that lists them.
import { act } from "./api.js";
import { say } from "./notices.js";
import { addObject, cancel, compare, deleteObject, nextMode, pauseOrGoOn, propagate, renameObject, setOpacity, toggleHidden, toggleLock } from "./panel.js";
import { go, jump, play } from "./player.js";
import { tab, told } from "./state.js";
import { TOOLS, choose, clearFrame, closePolygon, drawing, escape, movePen, pressPen, resize, selectObject, takeCornerBack, togglePen } from "./tools.js";
import { fit, zoom } from "./view.js";

const $ = (id) => document.getElementById(id);
const trouble = (error) => say(error.message, true);
export const undo = () => act({ do: "undo" }).catch(trouble);
export const redo = () => act({ do: "redo" }).catch(trouble);
export const openExport = () => $("export-dialog").showModal();
export const openHelp = () => {
  dialog.showModal();
  dialog.focus(); // else its only button has the focus, and the help is scrolled to its end
  dialog.scrollTop = 0;
};
export const nextDrift = () => jump(stops(), 1) || say(["No likely drift after this frame.", ...missing()].join(" "));
export const previousDrift = () => jump(stops(), -1) || say("No likely drift before this frame.");
// Objects whose masks end before the video does: right where they leave it, else lost by the network.
const missing = () => told.objects.flatMap((one) => {
  const last = told.rows.findLastIndex((row) => row?.[1]?.[one.id]?.[0]);
  return told.rounds && last >= 0 && last < told.frames - 1 ? [`${one.name} has no mask after frame ${last}: look whether this is right.`] : [];
});
// The frames to look at: the first of each range of likely drift, and further ones of a long range.
const stops = () => told.drift.flatMap(([first, last]) => {
  const step = Math.max(5, Math.round((last - first + 1) / 6));
  return Array.from({ length: Math.ceil((last - first + 1) / step) }, (_, i) => [first + i * step]);
});
const mine = () => [...new Set([...told.interacted, ...told.corrected])].sort((a, b) => a - b).map((frame) => [frame, frame]);

const arrow = (dx, dy) => (event) => {
  const far = event.shiftKey ? 10 : 1;
  if (tab.pen) movePen(dx * far, dy * far);
  else if (dx) go(tab.frame + dx * far);
  else if (dy < 0) resize(1.15);
  else resize(1 / 1.15);
};
const enter = (event) => {
  if (tab.tool === "fill" && drawing() && !tab.pen) closePolygon();
  else if (tab.pen) pressPen(event.shiftKey);
  else propagate();
};

// By group: [keys, keys as shown, function, text]. Keys are those of KeyboardEvent, letters large with Shift; "^" before a
// key is Ctrl or Cmd.
const KEYS = [
  ["Tools", [
    ...TOOLS.map((tool) => [[tool.key.toLowerCase()], [tool.key], () => choose(tool.id), tool.name]),
    [["["], ["["], () => resize(1 / 1.15), "Smaller brush (or ↓)"],
    [["]"], ["]"], () => resize(1.15), "Larger brush (or ↑)"],
    [["k"], ["K"], togglePen, "Keyboard pen on, off"],
    [["q"], ["Q"], closePolygon, "Close the polygon (or Enter)"],
    [["Backspace"], ["⌫"], takeCornerBack, "Remove the last corner"],
    [["u"], ["U"], clearFrame, "Erase the whole frame, or box"],
    [["Escape"], ["Esc"], () => escape() || (told.progress && pauseOrGoOn()), "Discard the stroke, pen or box; pause"],
  ]],
  ["Masks", [
    [["Enter"], ["Enter"], enter, "Propagate this frame"],
    [["^z"], ["Ctrl", "Z"], undo, "Undo"],
    [["^Z", "^y"], ["Ctrl", "Shift", "Z"], redo, "Redo"],
    [["y"], ["Y"], () => act({ do: "keep" }).catch(trouble), "Keep: new strokes start from this mask"],
    [["Pause", "w"], ["W"], () => told.progress && pauseOrGoOn(), "Pause or go on"],
    [["z"], ["Z"], () => told.progress && cancel(), "Cancel a propagation or export"],
    [["o"], ["O"], openExport, "Export"],
  ]],
  ["Objects", [
    [["0"], ["0"], () => selectObject(0), "Background"],
    ...Array.from({ length: 9 }, (_, at) => [[String(at + 1)], at ? null : ["1", "…", "9"], () => told.objects[at] && selectObject(told.objects[at].id), "Choose an object"]),
    [["a"], ["A"], addObject, "Add an object"],
    [["n"], ["N"], renameObject, "Rename"],
    [["g"], ["G"], () => toggleHidden(), "Hide, show"],
    [["l"], ["L"], () => toggleLock(), "Lock, unlock"],
    [["Delete"], ["Del"], () => deleteObject(), "Delete from all frames"],
  ]],
  ["Frames", [
    [[" "], ["Space"], () => (tab.pen ? pressPen(false) : play()), "Play, pause"],
    [["ArrowLeft"], ["←"], arrow(-1, 0), "Back (Shift: 10 frames)"],
    [["ArrowRight"], ["→"], arrow(1, 0), "Forward (Shift: 10 frames)"],
    [["ArrowUp"], null, arrow(0, -1), ""],
    [["ArrowDown"], null, arrow(0, 1), ""],
    [[","], [","], () => go(tab.frame - 1), "Back, also with the pen"],
    [["."], ["."], () => go(tab.frame + 1), "Forward, also with the pen"],
    [["Home"], ["Home"], () => go(0), "First frame"],
    [["End"], ["End"], () => go(told.frames - 1), "Last frame"],
    [["d"], ["D"], nextDrift, "Next likely drift"],
    [["D"], ["Shift", "D"], previousDrift, "Previous likely drift"],
    [["i"], ["I"], () => jump(mine(), 1) || say("No corrected frame after this one."), "Next corrected frame"],
    [["I"], ["Shift", "I"], () => jump(mine(), -1) || say("No corrected frame before this one."), "Previous corrected frame"],
  ]],
  ["View", [
    [["m"], ["M"], nextMode, "Next kind of overlay"],
    [["-", "_"], ["−"], () => zoom(1 / 1.25), "Zoom out (or the wheel)"],
    [["=", "+"], ["="], () => zoom(1.25), "Zoom in (or the wheel)"],
    [["f"], ["F"], fit, "Fit the frame"],
    [["<"], ["<"], () => setOpacity(tab.opacity - 0.1), "Less opaque"],
    [[">"], [">"], () => setOpacity(tab.opacity + 0.1), "More opaque"],
    [["x"], ["X"], compare, "Compare with the round before"],
    [["?"], ["?"], openHelp, "This page"],
  ]],
];
const BY_KEY = new Map(KEYS.flatMap(([, rows]) => rows.flatMap(([keys, , act]) => keys.map((key) => [key, act]))));

// A key by its name in KEYS. Shift alone makes a letter large, not Caps Lock. Layouts without Latin letters have them where
// they are on most keyboards.
function nameOf({ key, code, shiftKey }) {
  const letter = /^[a-z]$/i.test(key) ? key : BY_KEY.has(key) ? null : /^Key([A-Z])$/.exec(code)?.[1];
  if (!letter) return key;
  return shiftKey ? letter.toUpperCase() : letter.toLowerCase();
}

window.addEventListener("keydown", (event) => {
  const target = event.target;
  if (document.querySelector("dialog[open], .veil:not([hidden])")) return;
  if (target.matches("input:not([type=range]):not([type=checkbox]), select, textarea")) {
    if (event.key === "Escape" || event.key === "Enter") target.blur();
    return;
  }
  const slider = target.matches("input[type=range]");
  if (slider && /^(Arrow|Page|Home|End)/.test(event.key)) return; // moves it
  if (target.matches("button, summary, input") && !slider && [" ", "Enter"].includes(event.key)) return; // presses it
  if (event.altKey) return;
  const found = BY_KEY.get(`${event.ctrlKey || event.metaKey ? "^" : ""}${nameOf(event)}`);
  if (!found) return;
  event.preventDefault();
  found(event);
});

// The help, key "?".
const dialog = $("help-dialog");
dialog.innerHTML = `<h2>How to annotate a video</h2>
<div class="loop"><div><b>1 Mark</b>Choose an object and a tool, and mark the object on any frame.</div><div><b>2 Propagate</b>Enter propagates the masks through the video.</div>
<div><b>3 Look</b>D goes to frames where masks have likely drifted. Play the video; X compares with the round before.</div><div><b>4 Correct</b>Correct that frame and propagate again. Export with O.</div></div>
<div class="keys"></div><form method="dialog"><button class="plain">Close</button></form>`;
for (const [group, rows] of KEYS) {
  const part = document.createElement("div");
  const list = document.createElement("dl");
  part.append(Object.assign(document.createElement("h3"), { textContent: group }), list);
  for (const [, shown, , text] of rows) {
    if (!shown) continue;
    const keys = document.createElement("dd");
    keys.append(...shown.map((key) => (key === "…" ? "–" : Object.assign(document.createElement("kbd"), { textContent: key }))));
    list.append(Object.assign(document.createElement("dt"), { textContent: text }), keys);
  }
  dialog.querySelector(".keys").append(part);
}
