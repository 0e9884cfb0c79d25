// The tools, by pointer and keyboard. A stroke is sent when the pointer is up.
import { act } from "./api.js";
import { icon } from "./icons.js";
import { emit, objectOf, on, tab, told } from "./state.js";
import { canvas, colourOf, objectAt, painters, pan, place, redraw, reveal, toFrame, zoom } from "./view.js";
import { go } from "./player.js";
import { say } from "./notices.js";

export const TOOLS = [
  { id: "scribble", key: "S", name: "Scribble", needs: "scribble", hint: "Draw a line along the object, or over what is wrong. Choose Background to say what is not the object. Lines add up until you propagate." },
  { id: "click", key: "C", name: "Click", needs: "click", hint: "Left click (green) on the object, right click (red) on what is not the object. Each click refines the mask; undo takes one back." },
  { id: "brush", key: "B", name: "Brush", hint: "Paint the object. Right button erases." },
  { id: "eraser", key: "E", name: "Eraser", hint: "Erase all objects that are not locked. U erases the whole frame." },
  { id: "fill", key: "P", name: "Polygon", hint: "Click the corners, or drag an outline. Enter or a double click fills it; Backspace removes the last corner." },
  { id: "box", key: "R", name: "Local box", hint: "Drag a box: until you remove it, the next strokes change the mask inside it only." },
  { id: "pick", key: "V", name: "Pick", hint: "Choose the object under the pointer. With Alt, any tool does this." },
  { id: "pan", key: "H", name: "Move", hint: "Drag the frame. The wheel zooms; the middle button moves with any tool." },
];
const NEEDS = { scribble: "a scribble-to-mask network: start the program with --s2m FILE", click: "a click network: start the program with --clicks FILE" };

const SLOW = 400; // milliseconds until the page says that a stroke or click is being computed

let stroke = null; // { points, object, radius, tool } in pixels of the shown frame
let corners = null; // of a polygon
let dragging = null; // { kind, x, y }
let pressed = null; // { id, type } of the pointer that is down: second fingers and palms are ignored
let cursor = null; // [x, y]
let sent = []; // strokes that are not answered yet

export const toolOf = (id) => TOOLS.find((tool) => tool.id === id);
export const lacks = (tool) => tool.needs && told.ready && !told.can[tool.needs];

export function choose(id) {
  const tool = toolOf(id);
  if (lacks(tool)) return say(`${tool.name} needs ${NEEDS[tool.needs]}. Brush and polygon need no network.`, true);
  corners = null;
  tab.tool = id;
  emit("tool");
  redraw();
}

export function selectObject(id) {
  if (id !== 0 && !objectOf(id)) return;
  tab.object = id;
  emit("state");
}

export function resize(factor) {
  tab.size = Math.min(100, Math.max(1, Math.round(tab.size * factor + (factor > 1 ? 0.5 : -0.5))));
  emit("tool");
  redraw();
}

// Discard what is being drawn, else the pen, else the box. False if there is none of them.
export function escape() {
  if (stroke || corners || dragging) stroke = corners = dragging = null;
  else if (tab.pen) tab.pen = null;
  else if (tab.box) setBox(null);
  else return false;
  emit("tool");
  redraw();
  return true;
}

export function setBox(box) {
  tab.box = box;
  emit("tool");
  redraw();
}

export const drawing = () => Boolean(stroke || corners);

const ratio = () => told.size[0] / told.view[0];
// The pixel of the frame that has a point of the shown frame in it, the nearest for a point outside.
function pixel([x, y], size = told.size) {
  const at = (value, axis) => Math.min(size[axis] - 1, Math.max(0, Math.floor((value * size[axis]) / told.view[axis])));
  return { x: at(x, 1), y: at(y, 0) };
}
// The pixel as actions have it: 0 is the centre of the first one, 1 that of the last. Lines are truncated to pixels of the
// size that the network works at, so they are sent from ``inside`` such a pixel, where rounding cannot change it.
function normal(point, inside) {
  const [rows, columns] = told.working;
  const round = (value) => Math.round(Math.min(1, value) * 1e6) / 1e6;
  const { x, y } = pixel(point, told.working);
  return [round((x + inside) / (columns - 1)), round((y + inside) / (rows - 1))];
}
const lineOf = (points) => points.map((point) => normal(point, 0.5));
// An outline is truncated, its inside is not: nearly the centres of pixels are right for both.
const outlineOf = (points) => points.map((point) => normal(point, 0.01));
function setComputing(computing) {
  tab.computing = computing;
  emit("computing");
}
const boxed = () => (tab.box ? { box: tab.box } : {});

async function send(action, shown) {
  if (shown) sent.push(shown);
  tab.playing = false;
  redraw();
  const slow = setTimeout(() => setComputing(true), SLOW);
  try {
    await act({ ...action, frame: tab.frame, ...boxed() });
  } catch (error) {
    say(error.message, true);
  } finally {
    clearTimeout(slow);
    sent = sent.filter((one) => one !== shown);
    if (!sent.length) setComputing(false);
    redraw();
  }
}

function begin(point, erase) {
  const object = tab.tool === "eraser" || erase ? 0 : tab.object;
  const { tool } = tab;
  if (tool === "click") {
    const shown = { dot: point, positive: !erase, object: tab.object };
    return send({ do: "click", object: tab.object, ...pixel(point), ...(erase ? { positive: false } : {}) }, shown);
  }
  const radius = tool === "scribble" ? 1.5 / ratio() : tab.size / ratio();
  stroke = { points: [point], object, radius, tool };
  redraw();
}

// Points closer than half a pixel add nothing, but would make the message of a long stroke larger than the server takes.
function extend(point) {
  const [x, y] = stroke.points.at(-1);
  if (Math.hypot(point[0] - x, point[1] - y) * ratio() >= 0.5) stroke.points.push(point);
}

function end() {
  const done = stroke;
  stroke = null;
  if (!done) return;
  const path = lineOf(done.points);
  if (done.tool === "scribble") send({ do: "scribble", object: done.object, path }, done);
  else send({ do: "brush", object: done.object, path, radius: tab.size }, done);
}

function corner(point) {
  corners = [...(corners || []), point];
  redraw();
}

export function closePolygon() {
  const done = corners;
  corners = null;
  if (!done || done.length < 3) return redraw();
  send({ do: "fill", object: tab.object, path: outlineOf(done) }, { outline: done, object: tab.object });
}

// Erase all objects in this frame, or in the box, except locked ones.
export function clearFrame() {
  const refused = whyNotNow();
  if (refused) return say(refused, true);
  send({ do: "fill", object: 0, path: [[0, 0], [1, 0], [1, 1], [0, 1]] });
  say(`The masks in this ${tab.box ? "box" : "frame"} are erased, except those of locked objects. Undo restores them.`);
}

export function takeCornerBack() {
  if (!corners) return false;
  corners = corners.length > 1 ? corners.slice(0, -1) : null;
  redraw();
  return true;
}

function finishBox(point) {
  const [x0, x1] = [dragging.x, point[0]].sort((a, b) => a - b);
  const [y0, y1] = [dragging.y, point[1]].sort((a, b) => a - b);
  const [rows, columns] = told.size;
  const scale = ratio();
  const box = [Math.max(0, Math.floor(y0 * scale)), Math.max(0, Math.floor(x0 * scale)), Math.min(rows, Math.ceil(y1 * scale)), Math.min(columns, Math.ceil(x1 * scale))];
  dragging = null;
  if (box[2] - box[0] < 4 || box[3] - box[1] < 4) return redraw();
  setBox(box);
  choose(tab.last && tab.last !== "box" ? tab.last : told.can.scribble ? "scribble" : "brush");
}

// Why masks cannot be changed now; empty if they can.
function whyNotNow() {
  if (told.study?.phase === "over") return "The time of the study is over.";
  if (told.progress) return `${told.progress.what === "export" ? "An export" : "A propagation"} is running: wait until it ends, or cancel it.`;
  return tab.before ? "These are the masks before the last round. Press X to return to the current ones." : "";
}

// Why the tool cannot draw the chosen object; empty if it can.
function whyNotThis(tool, erase) {
  if (!told.objects.length) return "There is no object yet: press A to add one.";
  const one = objectOf(tab.object);
  if (tool === "click" && !one) return "Choose an object on the right first. For what is not the object, right click.";
  if (!one || tool === "eraser" || (erase && tool !== "click")) return "";
  if (one.locked) return `${one.name} is locked: press L to unlock it, or choose another object.`;
  return one.hidden ? `${one.name} is hidden: press G to show it, or choose another object.` : "";
}

// A press at a point, by the pointer or the keyboard's pen.
function press(point, erase, extras = {}) {
  const { tool } = tab;
  if (tool === "pan") return say("Move is for a pointer: the frame follows the pen. Choose another tool to draw.");
  const picks = tool === "pick" || extras.alt;
  const refused = !picks && (whyNotNow() || (tool !== "box" && whyNotThis(tool, erase)));
  if (refused) return say(refused, true);
  if (picks) {
    const found = objectAt(...point);
    selectObject(found);
    say(found ? `${objectOf(found).name} is chosen` : "Background is chosen");
  } else if (tool === "box") dragging = { kind: "box", x: point[0], y: point[1] };
  else if (tool === "fill") corner(point);
  else begin(point, erase);
}

const isOther = (event) => pressed !== null && pressed.id !== event.pointerId;

canvas.addEventListener("pointerdown", (event) => {
  if (isOther(event)) {
    if (event.pointerType !== "pen" || pressed.type !== "touch") return;
    stroke = dragging = null; // the palm came first, and draws nothing
  }
  pressed = { id: event.pointerId, type: event.pointerType };
  canvas.focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  const point = toFrame(event.offsetX, event.offsetY);
  emit("pressed");
  if (event.button === 1 || tab.tool === "pan") dragging = { kind: "pan" };
  else if (event.button === 0 || event.button === 2) press(point, event.button === 2 || event.shiftKey, { alt: event.altKey });
});

canvas.addEventListener("pointermove", (event) => {
  if (isOther(event)) return;
  cursor = toFrame(event.offsetX, event.offsetY);
  if (dragging?.kind === "pan") pan(event.movementX, event.movementY);
  else if (stroke && pressed) {
    const parts = event.getCoalescedEvents?.() || [];
    for (const one of parts.length ? parts : [event]) extend(toFrame(one.offsetX, one.offsetY));
  } else if (corners && pressed && event.buttons & 1) {
    const [x, y] = corners.at(-1);
    if (Math.hypot(cursor[0] - x, cursor[1] - y) * place.scale > 6) corner(cursor);
  }
  redraw();
});

canvas.addEventListener("pointerup", (event) => {
  if (isOther(event)) return;
  pressed = null;
  const point = toFrame(event.offsetX, event.offsetY);
  if (dragging?.kind === "box") finishBox(point);
  dragging = null;
  if (stroke) end();
});
canvas.addEventListener("pointercancel", (event) => {
  if (isOther(event)) return;
  pressed = null;
  stroke = dragging = null;
  redraw();
});
canvas.addEventListener("pointerleave", (event) => {
  if (isOther(event)) return;
  cursor = null;
  redraw();
});
canvas.addEventListener("dblclick", () => tab.tool === "fill" && closePolygon());
canvas.addEventListener("contextmenu", (event) => event.preventDefault());
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  if (event.ctrlKey || !event.shiftKey) zoom(Math.exp(-event.deltaY * 0.0016), event.offsetX, event.offsetY);
  else go(tab.frame + Math.sign(event.deltaY || event.deltaX));
}, { passive: false });

// The keyboard's pen: a cross that arrows move; Enter or Space presses it.
export function togglePen() {
  const [rows, columns] = told.view;
  tab.pen = tab.pen ? null : { at: [Math.floor(columns / 2) + 0.5, Math.floor(rows / 2) + 0.5] };
  stroke = null;
  emit("tool");
  redraw();
}

export function movePen(dx, dy) {
  const [rows, columns] = told.view;
  const [x, y] = tab.pen.at;
  tab.pen.at = [Math.min(columns - 0.5, Math.max(0.5, x + dx)), Math.min(rows - 0.5, Math.max(0.5, y + dy))];
  if (stroke) extend([...tab.pen.at]);
  reveal(tab.pen.at);
  redraw();
}

export function pressPen(erase) {
  emit("pressed");
  if (stroke) end();
  else if (dragging?.kind === "box") finishBox(tab.pen.at);
  else press([...tab.pen.at], erase);
}

painters.add((context, scale) => {
  const thin = 1 / scale;
  const line = (points, width, close) => {
    context.beginPath();
    context.lineWidth = width;
    context.lineCap = context.lineJoin = "round";
    context.moveTo(...points[0]);
    for (const point of points.length > 1 ? points.slice(1) : points) context.lineTo(...point);
    if (close) context.closePath();
    context.stroke();
  };
  if (tab.box) drawBox(context, tab.box, thin);
  for (const one of [...marks(), ...sent, ...(stroke ? [stroke] : [])]) {
    context.strokeStyle = context.fillStyle = colourOf(one.object);
    if (one.dot) {
      context.globalAlpha = one.object === tab.object ? 1 : 0.4; // clicks on other objects
      drawClick(context, one.dot, one.positive, thin);
      context.globalAlpha = 1;
    } else if (one.outline) line(one.outline, 2 * thin, true);
    else if (one.tool === "scribble") {
      context.globalAlpha = 1;
      context.strokeStyle = "#000a";
      line(one.points, Math.max(2 * one.radius, 3 * thin) + 2 * thin);
      context.strokeStyle = colourOf(one.object);
      line(one.points, Math.max(2 * one.radius, 3 * thin));
    } else {
      context.globalAlpha = 0.6;
      line(one.points, 2 * one.radius);
      context.globalAlpha = 1;
    }
  }
  const at = tab.pen?.at || cursor;
  if (corners) {
    context.strokeStyle = "#000a";
    line(at ? [...corners, at] : corners, 4 * thin);
    context.strokeStyle = colourOf(tab.object);
    line(at ? [...corners, at] : corners, 2 * thin);
    context.fillStyle = "#fff";
    for (const [x, y] of corners) context.fillRect(x - 2.5 * thin, y - 2.5 * thin, 5 * thin, 5 * thin);
  }
  if (dragging?.kind === "box" && at) {
    const [rows, columns] = [Math.abs(at[1] - dragging.y), Math.abs(at[0] - dragging.x)];
    context.setLineDash([6 * thin, 4 * thin]);
    context.strokeStyle = "#fff";
    context.lineWidth = 1.5 * thin;
    context.strokeRect(Math.min(dragging.x, at[0]), Math.min(dragging.y, at[1]), columns, rows);
    context.setLineDash([]);
  }
  if (at) drawCursor(context, at, thin);
});

// The scribbles and clicks that the current mask of this frame was made from, while their tool is chosen.
function marks() {
  const { draft } = told;
  if (!draft || draft.frame !== tab.frame || draft.kind !== tab.tool || tab.before || tab.mode === "none") return [];
  const [rows, columns] = told.view;
  const [high, wide] = told.working.map((size, axis) => ((size - 1) * told.view[axis]) / size);
  const lines = draft.strokes.map(({ object, path }) => ({
    object, tool: "scribble", radius: 0, points: path.map(([x, y]) => [x * wide, y * high]), // inside the truncated pixels
  }));
  return [...lines, ...draft.clicks.map(({ object, at: [x, y], positive }) => ({ object, dot: [x * columns, y * rows], positive }))];
}

function drawClick(context, [x, y], positive, thin) {
  context.beginPath();
  context.arc(x, y, 6 * thin, 0, 7);
  context.fillStyle = positive ? "#1f9d57" : "#d93647";
  context.fill();
  context.strokeStyle = "#fff";
  context.lineWidth = 1.5 * thin;
  context.stroke();
  context.beginPath(); // a plus, or a minus
  context.moveTo(x - 3 * thin, y);
  context.lineTo(x + 3 * thin, y);
  if (positive) {
    context.moveTo(x, y - 3 * thin);
    context.lineTo(x, y + 3 * thin);
  }
  context.stroke();
}

function drawBox(context, [top, left, bottom, right], thin) {
  const scale = 1 / ratio();
  const [x, y, width, height] = [left * scale, top * scale, (right - left) * scale, (bottom - top) * scale];
  const [rows, columns] = told.view;
  context.fillStyle = "#0007";
  context.beginPath();
  context.rect(0, 0, columns, rows);
  context.rect(x, y, width, height);
  context.fill("evenodd");
  context.strokeStyle = "#fff";
  context.lineWidth = 1.5 * thin;
  context.setLineDash([6 * thin, 4 * thin]);
  context.strokeRect(x, y, width, height);
  context.setLineDash([]);
}

function drawCursor(context, [x, y], thin) {
  const ring = tab.tool === "brush" || tab.tool === "eraser" ? tab.size / ratio() : 0;
  const cross = (length, gap, colour, width) => {
    context.strokeStyle = colour;
    context.lineWidth = width * thin;
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(x + dx * gap * thin, y + dy * gap * thin);
      context.lineTo(x + dx * length * thin, y + dy * length * thin);
    }
    context.stroke();
  };
  const own = tab.tool === "eraser" || tab.object === 0 ? "#ffffff" : colourOf(tab.object);
  if (ring * place.scale > 3) {
    for (const [colour, width] of [["#000a", 3], [own, 1.5]]) {
      context.strokeStyle = colour;
      context.lineWidth = width * thin;
      context.beginPath();
      context.arc(x, y, ring, 0, 7);
      context.stroke();
    }
  }
  const length = tab.pen ? 16 : ring * place.scale > 3 ? 4 : 9;
  cross(length, ring * place.scale > 3 && !tab.pen ? 0 : 2, "#000b", 3.5);
  cross(length, ring * place.scale > 3 && !tab.pen ? 0 : 2, tab.pen ? own : "#fff", 1.5);
}

// The bar of tools.
const bar = document.getElementById("tools");
for (const tool of TOOLS) {
  if (tool.id === "box" || tool.id === "pick") bar.append(document.createElement("hr"));
  const button = document.createElement("button");
  button.id = `tool-${tool.id}`;
  button.append(icon(tool.id), tool.name, Object.assign(document.createElement("kbd"), { textContent: tool.key }));
  button.onclick = () => choose(tool.id);
  bar.append(button);
}

on("tool hello", () => {
  for (const tool of TOOLS) {
    const button = document.getElementById(`tool-${tool.id}`);
    button.setAttribute("aria-pressed", tab.tool === tool.id);
    button.classList.toggle("lacking", Boolean(lacks(tool)));
    button.title = lacks(tool) ? `${tool.name} needs ${NEEDS[tool.needs]}` : `${tool.name} (${tool.key}): ${tool.hint}`;
  }
  if (tab.tool !== "box") tab.last = tab.tool;
});
let lastFrame = 0; // the frame at the last change
on("frame", () => {
  stroke = null;
  if (lastFrame === tab.frame) return;
  if (corners) say(`The polygon on frame ${lastFrame} is discarded: fill it before you go to another frame.`);
  lastFrame = tab.frame;
  corners = null;
});
