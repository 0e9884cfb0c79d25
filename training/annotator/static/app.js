// The page: connects its parts, and everything outside of the panel, the frame and the timeline.
import { Refused, act, answers, ask, connect, isLaterRun, listeners, pending, putMask } from "./api.js";
import { atHand, forget, whyMissing } from "./frames.js";
import { addIcons, setIcon } from "./icons.js";
import { nextDrift, openExport, openHelp, previousDrift, redo, undo } from "./keys.js";
import { say } from "./notices.js";
import "./panel.js";
import { go, play } from "./player.js";
import { emit, hear, nameOf, on, tab, told } from "./state.js";
import { redrawTimeline } from "./timeline.js";
import { choose, lacks, toolOf } from "./tools.js";
import { fit, place, redraw, zoom } from "./view.js";

const $ = (id) => document.getElementById(id);
addIcons(document);

// Light or dark: the system's, until the user chooses.
const dark = matchMedia("(prefers-color-scheme: dark)");
function paint() {
  document.documentElement.dataset.theme = localStorage.getItem("theme") || (dark.matches ? "dark" : "light");
  redraw();
  redrawTimeline();
}
dark.addEventListener("change", paint);
$("theme").onclick = () => {
  localStorage.setItem("theme", document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  paint();
};
paint();

// The top bar
$("undo").onclick = undo;
$("redo").onclick = redo;
$("export").onclick = openExport;
$("help").onclick = openHelp;
$("import").onclick = () => $("files").click();
$("files").onchange = () => load([...$("files").files]).finally(() => ($("files").value = ""));

// The last number in a name, as the server finds it.
function numberIn(name) {
  const digits = name.match(/[0-9]+/g);
  return digits && Number(digits.at(-1));
}

// A function that gives the frame of a mask by its file's name: the frame with that name, else the only one with its
// number, as for --masks. Undefined if there is none.
function framesByName() {
  const byName = new Map();
  const byNumber = new Map(); // undefined where several have the number
  for (const [frame, name] of (told.names || []).entries()) {
    const number = numberIn(name);
    byName.set(name, frame);
    byNumber.set(number, byNumber.has(number) ? undefined : frame);
  }
  byNumber.delete(null);
  return (name) => byName.get(name) ?? byNumber.get(numberIn(name));
}

async function load(files) {
  const frameOf = framesByName();
  const loaded = new Map(); // frame -> file's name
  const refused = [];
  for (const file of files) {
    const named = frameOf(file.name.replace(/\.png$/i, ""));
    const frame = named ?? (files.length === 1 ? tab.frame : undefined);
    try {
      if (!/\.png$/i.test(file.name)) throw new Error("is refused: masks are PNG files");
      if (file.size > told.max_upload) throw new Error(`is refused: it is larger than ${told.max_upload >> 20} MiB`);
      if (frame === undefined) throw new Error(`is refused: no frame has its name or number; name it like its frame, for example ${nameOf(0)}.png`);
      if (loaded.has(frame)) throw new Error(`is refused: ${loaded.get(frame)} is for the same frame`);
      await putMask(frame, file);
      loaded.set(frame, file.name);
      if (files.length === 1) {
        go(frame);
        const why = named === undefined ? ", which was shown: its name tells of no frame" : "";
        say(`${file.name} is loaded for frame ${frame}${why}`);
      }
    } catch (error) {
      refused.push(`${file.name}${error instanceof Refused ? ":" : ""} ${error.message}`);
    }
    if (files.length > 9) say(`Loaded ${loaded.size} of ${files.length} masks`, false, "loading");
  }
  if (loaded.size && files.length > 1 && files.length <= 9) say(`Loaded ${loaded.size} of ${files.length} masks`);
  const more = refused.length - 1;
  if (more >= 0) say(refused[0] + (more ? ` (and ${more} more ${more === 1 ? "file is" : "files are"} refused)` : ""), true);
}
// Files may be dropped anywhere: the browser's own answer is to leave the page and show the file.
window.addEventListener("dragover", (event) => event.preventDefault());
window.addEventListener("drop", (event) => {
  event.preventDefault();
  load([...event.dataTransfer.files]);
});

on("state hello", () => {
  $("undo").disabled = !told.undo;
  $("redo").disabled = !told.redo;
  $("unsaved").hidden = !told.unsaved;
  $("unsaved-text").textContent = told.unsaved;
});
on("state hello computing", () => {
  $("saved").textContent = told.unsaved ? "Not saved" : tab.computing ? "Computing …" : "Saved";
  $("saved").classList.toggle("bad", Boolean(told.unsaved));
  $("saved").classList.toggle("busy", tab.computing);
  $("saved").title = told.unsaved || `Every step is saved in ${told.out}/session`;
});

// Frames
const previous = (way) => () => go(tab.frame + way);
$("first-frame").onclick = () => go(0);
$("previous").onclick = previous(-1);
$("next").onclick = previous(1);
$("play").onclick = play;
$("next-drift").onclick = nextDrift;
$("previous-drift").onclick = previousDrift;
$("speed").onchange = () => {
  tab.speed = Number($("speed").value);
  $("speed").blur();
};
$("frame").onchange = () => go(Number($("frame").value));
on("frame hello", () => {
  if (document.activeElement !== $("frame")) $("frame").value = tab.frame;
  $("frame").max = told.frames - 1;
  $("of").textContent = `of ${told.frames - 1}`;
  setIcon($("play"), tab.playing ? "pause" : "play");
  $("play").setAttribute("aria-label", tab.playing ? "Pause" : "Play");
});
const legend = [["you", "corrected by you"], ["open", "waits for propagation"], ["round", "changed in the last round"], ["drift", "likely drift"]];
$("legend").append(...legend.map(([name, text]) => {
  const part = document.createElement("span");
  part.append(Object.assign(document.createElement("i"), { className: name }), text);
  return part;
}));
on("state", () => {
  $("next-drift").disabled = $("previous-drift").disabled = !told.drift.length;
});

// Zoom
$("zoom-in").onclick = () => zoom(1.25);
$("zoom-out").onclick = () => zoom(1 / 1.25);
$("zoom-fit").onclick = fit;
on("zoom", () => ($("zoom-value").textContent = place.fitted ? "Fit" : `${Math.round((100 * place.scale * told.view[0]) / told.size[0])} %`));

// A frame that cannot be read
function missing() {
  const why = whyMissing(tab.frame);
  $("missing").hidden = !why;
  $("missing-title").textContent = `Frame ${tab.frame} cannot be shown`;
  $("missing-text").textContent = why || "";
}
on("frame loaded hello", missing);

// First use
function welcome() {
  const fresh = told.ready && !told.interacted.size && !told.corrected.length && !told.study && !sessionStorage.getItem("welcomed");
  $("welcome").hidden = !fresh;
  if (!fresh || $("welcome").childElementCount) return;
  const mark = told.can.scribble ? "<b>Scribble</b> on the object: a line is enough." : told.can.click ? "<b>Click</b> on the object." : "Paint the object with the <b>brush</b>, or outline it with the <b>polygon</b>.";
  const second = told.can.propagate ? "Press <b>Enter</b>: the masks are propagated through the whole video." : "Press <b>→</b> and mark the next frame. (Started with <code>--network</code>, the program makes the masks of the other frames.)";
  const third = told.can.propagate ? "Press <b>D</b> for a frame where a mask has likely drifted, correct it, and propagate again." : "Press <b>O</b> to write the masks as PNGs, a film, or a dataset to train on.";
  $("welcome").innerHTML = `<h2>Segment this video</h2><ol><li><span>${mark}</span></li><li><span>${second}</span></li><li><span>${third}</span></li></ol>
    <div class="group"><button class="plain small" id="understood">Got it</button><span class="faint">All keys: <kbd>?</kbd></span></div>`;
  $("understood").onclick = () => {
    sessionStorage.setItem("welcomed", "yes");
    welcome();
  };
}
on("state hello", welcome);

// Export
const EXPORTS = {
  masks: ["Palette masks", "One PNG for each frame, ids as in DAVIS"],
  dataset: ["Train on this", "Frames and masks as a dataset: train.py run … --data takes the folder"],
  overlay: ["Film", "The video with its masks, MP4"],
  binary: ["Binary masks", "Black and white PNGs, a folder for each object"],
  soft: ["Soft masks", "Probabilities as grey PNGs, a folder for each object"],
  script: ["Script", "All that you did, for train.py interact"],
};
const OTHERS = [["coco", "COCO"], ["youtube-vis", "YouTube-VIS"], ["burst", "BURST"], ["sav", "SA-V"]];
on("hello", () => {
  $("out").textContent = told.out;
  const rows = Object.entries(EXPORTS).map(([what, [name, text]]) => exportRow(name, text, told.places[what], [[what, "Write"]]));
  rows.push(exportRow("Other formats", "Frames and masks, as generate.py export writes them", `${told.out}/<format>`, OTHERS));
  $("exports").replaceChildren(...rows);
});
function tellExport(text, bad = false) {
  $("exported").hidden = false;
  $("exported").classList.toggle("bad", bad);
  $("exported").textContent = text;
}
on("progress", () => {
  const running = told.progress;
  if (running?.what === "export") tellExport(`Writing … ${running.done} of ${running.total} frames. You may close this window; Cancel is in the panel on the right.`);
});
function exportRow(name, text, place, kinds) {
  const row = document.createElement("li");
  const words = document.createElement("div");
  const part = (tag, textContent) => Object.assign(document.createElement(tag), { textContent });
  words.append(part("b", name), part("small", text), part("code", place));
  const buttons = document.createElement("div");
  buttons.className = "group wrap";
  for (const [what, label] of kinds) {
    const button = Object.assign(part("button", label), { className: "plain", id: `export-${what}` });
    button.onclick = async () => {
      button.disabled = true;
      tellExport("Writing …");
      await ask({ export: what }).then(tellExport, (error) => tellExport(error.message, true));
      button.disabled = false;
    };
    buttons.append(button);
  }
  row.append(words, buttons);
  return row;
}

// A study
on("study", () => {
  const { study } = told;
  $("clock").hidden = $("truth").hidden = !study;
  if (!study) return;
  const left = Math.max(0, study.limit - study.seconds);
  $("clock").textContent = study.phase === "truth" ? "The truth" : study.phase === "over" ? "Time is over" : `${Math.floor(left / 60)}:${String(Math.floor(left % 60)).padStart(2, "0")}`;
  $("clock").classList.toggle("late", study.phase === "over" || (study.phase === "work" && left < 15));
  $("truth").hidden = study.phase === "work";
  if ($("truth").dataset.phase === study.phase) return;
  $("truth").dataset.phase = study.phase;
  forget();
  redraw();
  $("truth").innerHTML = study.phase === "truth"
    ? `<h2>These are the true masks</h2><p>Look at them in as many frames as you like. Then come as close to them as you can in ${Math.round(study.limit)} seconds. Only your own time counts, not the computer's.</p><button class="primary" id="start">Start</button>`
    : "<h2>The time is over</h2><p>Thank you. The log is written; you may close this page.</p>";
  if ($("start")) $("start").onclick = () => ask({ study: "start" }).then(() => emit("state")).catch((error) => say(error.message, true));
});

// After a click on a button or slider, keys are for the frame again: Space and Enter would press the button, and arrows
// would move the slider.
document.addEventListener("click", (event) => {
  const clicked = event.target.closest("button, input[type=range]");
  if (event.detail && clicked && !clicked.closest("dialog")) $("view").focus({ preventScroll: true });
});

// Messages from the server
let opened = false;
on("hello", (another) => {
  $("opening").hidden = told.ready;
  $("gone").hidden = true;
  $("video").textContent = told.video;
  $("facts").textContent = `${told.frames} frames · ${told.size[1]}×${told.size[0]}`;
  document.title = `${told.video} – annotate`;
  if (another) forget();
  if (told.ready && !opened) {
    opened = true;
    choose(["scribble", "click", "brush"].find((id) => !lacks(toolOf(id))));
    fit();
    go(Number(sessionStorage.getItem(`frame ${told.video}`))); // where this tab was before it was reloaded
  }
});
on("frame", () => sessionStorage.setItem(`frame ${told.video}`, tab.frame));
let failed = false;
listeners.add((news) => {
  if (news.failure) {
    failed = true;
    gone("The session cannot be opened", `${news.failure}. Then start the program again, and open the address that it prints.`);
  } else if (news.gone) lost();
  else hear(news);
});
function gone(title, text) {
  $("opening").hidden = true;
  $("gone").hidden = false;
  $("gone-title").textContent = title;
  $("gone-text").textContent = text;
}
async function lost() {
  if (failed) return;
  if (await isLaterRun()) gone("This address is out of date", "The program was started again, and each start has a new address. Open the whole address that it printed last, with everything after the #.");
  else if (!opened) gone("The program has stopped", "It could not open the session. Its terminal says why.");
  else gone("The program does not answer", `${told.unsaved ? `The last steps were not saved (${told.unsaved}), all others are.` : "Every step is saved."} If the program was stopped, give the same command again, and open the address that it prints. If it is still running, this page continues as soon as the connection is back.`);
}
if (location.hash.length < 2) gone("The address is incomplete", "Open the whole address that the program printed, with everything after the #.");
else connect();

// For tests, benchmarks and the console.
const afterDrawing = [];
on("drawn", () => afterDrawing.splice(0).forEach((call) => call()));
const onceDrawn = (call) => {
  afterDrawing.push(call);
  redraw();
};
window.annotate = { told, tab, place, act, answers, pending, go, atHand, onceDrawn };
