// The timeline: the user's frames, what the last round changed, likely drift, and a lane for each object.
import { thumbnail } from "./frames.js";
import { emit, lanes, nameOf, on, tab, told } from "./state.js";
import { go } from "./player.js";

const canvas = document.getElementById("timeline");
const context = canvas.getContext("2d");
const peek = document.getElementById("peek");
const [RULER, STATUS, LANE, LABEL, EDGE] = [18, 18, 20, 92, 7]; // EDGE: room for the mark of the last frame
const back = document.createElement("canvas"); // everything but the current frame's mark: redrawn only after a change
let stale = true;
let scheduled = false;
let hover = null;

const width = () => canvas.clientWidth;
const step = () => (width() - LABEL - EDGE) / told.frames;
const xOf = (frame) => LABEL + frame * step();
const frameAt = (x) => Math.min(told.frames - 1, Math.max(0, Math.floor((x - LABEL) / step())));

function redraw() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    draw();
  });
}

function draw() {
  const ratio = window.devicePixelRatio || 1;
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`);
  const height = RULER + STATUS + LANE * Math.max(1, told.objects.length) + 2;
  canvas.style.height = `${height}px`;
  const [columns, rows] = [Math.round(width() * ratio), Math.round(height * ratio)];
  if (canvas.width !== columns || canvas.height !== rows) Object.assign(canvas, { width: columns, height: rows });
  if (stale || back.width !== columns || back.height !== rows) {
    Object.assign(back, { width: columns, height: rows }); // which clears it
    stale = false;
    const behind = back.getContext("2d");
    behind.setTransform(ratio, 0, 0, ratio, 0, 0);
    drawBack(behind, colour);
  }
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, columns, rows);
  context.drawImage(back, 0, 0);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  const wide = Math.max(1, step());
  if (told.progress?.frame != null) {
    context.fillStyle = colour("accent");
    context.fillRect(xOf(told.progress.frame), RULER, Math.min(4, Math.max(2, wide)), height - RULER);
  }
  const x = xOf(tab.frame) + wide / 2;
  context.fillStyle = colour("text");
  context.fillRect(Math.round(x) - 1, 0, 2, height);
  context.beginPath();
  context.moveTo(x - 6, 0);
  context.lineTo(x + 6, 0);
  context.lineTo(x + 6, 6);
  context.lineTo(x, 12);
  context.lineTo(x - 6, 6);
  context.fill();
}

function drawBack(context, colour) {
  context.font = "11px system-ui, 'DejaVu Sans', sans-serif";
  context.textBaseline = "middle";
  const wide = Math.max(1, step());

  // The ruler: a number every 70 pixels or more.
  const every = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000].find((n) => n * step() > 70) || 10000;
  context.fillStyle = colour("faint");
  for (let frame = 0; frame < told.frames; frame += every) {
    context.fillRect(xOf(frame), RULER - 5, 1, 5);
    context.fillText(String(frame), xOf(frame) + 4, RULER - 9);
  }
  context.fillStyle = colour("raised");
  context.fillRect(LABEL, RULER, width() - LABEL, STATUS - 2);
  context.fillStyle = colour("faint");
  context.fillText("Rounds, drift", 2, RULER + STATUS / 2 - 1);

  for (const [first, last] of told.lastRound) {
    context.fillStyle = colour("good");
    context.fillRect(xOf(first), RULER + STATUS - 5, Math.max(1, xOf(last + 1) - xOf(first)), 3);
  }
  for (const [first, last] of told.drift) {
    context.fillStyle = colour("warn");
    context.fillRect(xOf(first), RULER + 2, Math.max(2, xOf(last + 1) - xOf(first) - 0.5), 8);
  }

  told.objects.forEach((one, row) => {
    const top = RULER + STATUS + row * LANE;
    context.fillStyle = colour("raised");
    context.fillRect(LABEL, top, width() - LABEL, LANE - 2);
    context.fillStyle = one.id === tab.object ? colour("text") : colour("faint");
    context.fillText(one.name, 2, top + LANE / 2 - 1, LABEL - 10);
  });
  drawLanes(context, colour("warn"), wide);

  for (const [frames, full] of [[told.interacted, true], [told.corrected, false]]) {
    for (const frame of frames) {
      const [x, y] = [xOf(frame) + wide / 2, RULER + STATUS / 2 - 1];
      context.beginPath();
      context.moveTo(x, y - 6);
      context.lineTo(x + 6, y);
      context.lineTo(x, y + 6);
      context.lineTo(x - 6, y);
      context.closePath();
      context.fillStyle = full ? colour("accent") : colour("panel");
      context.fill();
      context.lineWidth = full ? 1.5 : 2;
      context.strokeStyle = full ? colour("panel") : colour("accent");
      context.stroke();
    }
  }
}

// Each object's area over time, scaled to its maximum, with marks of likely drift. Where frames share a pixel, their
// largest area and any drift are shown.
function drawLanes(context, warn, wide) {
  const each = Math.max(1, Math.ceil(1 / step()));
  const bars = new Map(told.objects.map((one) => [String(one.id), []]));
  told.rows.forEach((row, frame) => {
    const at = Math.floor(frame / each);
    for (const [id, [area, , drift]] of Object.entries(row?.[1] || {})) {
      const bar = bars.get(id);
      if (!bar) continue;
      const before = bar[at];
      bar[at] = before ? [Math.max(before[0], area), before[1] || drift] : [area, drift];
    }
  });
  told.objects.forEach((one, number) => {
    const bottom = RULER + STATUS + number * LANE + LANE - 2;
    const full = LANE - 4;
    const bar = bars.get(String(one.id));
    const largest = bar.reduce((most, [area]) => Math.max(most, area), 0) || 1;
    bar.forEach(([area, drift], at) => {
      const tall = area ? Math.max(3, Math.sqrt(area / largest) * full) : 0;
      context.globalAlpha = one.hidden ? 0.3 : 0.85;
      context.fillStyle = one.colour;
      context.fillRect(xOf(at * each), bottom - tall, Math.max(wide, each * step()) + 0.3, tall);
      context.globalAlpha = 1;
      if (drift) {
        context.fillStyle = warn;
        context.fillRect(xOf(at * each), bottom - full - 1, Math.max(1.5, wide), 3);
      }
    });
  });
}

async function show(event) {
  const frame = frameAt(event.offsetX);
  if (event.offsetX < LABEL) return hide();
  peek.hidden = false;
  const edge = peek.parentElement.getBoundingClientRect();
  peek.style.left = `${Math.min(edge.width - 96, Math.max(96, event.clientX - edge.left))}px`;
  const why = [...new Set(Object.entries(lanes(frame)).flatMap(([id, [, , drift]]) => {
    const name = told.objects.find((one) => String(one.id) === id)?.name;
    return drift && name ? [`${name}: ${drift}`] : [];
  }))];
  const mine = told.corrected.includes(frame) ? "corrected, not propagated yet" : told.interacted.has(frame) ? "corrected by you" : "";
  document.getElementById("peek-text").textContent = [`${frame} (${nameOf(frame)})`, mine, ...why].filter(Boolean).join(" · ");
  if (hover === frame) return;
  hover = frame;
  const bitmap = await thumbnail(frame).then(createImageBitmap).catch(() => null);
  if (hover !== frame) return;
  const picture = document.getElementById("peek-picture");
  if (!bitmap) return picture.getContext("2d").clearRect(0, 0, picture.width, picture.height);
  picture.width = bitmap.width;
  picture.height = bitmap.height;
  picture.getContext("2d").drawImage(bitmap, 0, 0);
}

function hide() {
  peek.hidden = true;
  hover = null;
}

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  go(frameAt(event.offsetX));
  const row = Math.floor((event.offsetY - RULER - STATUS) / LANE);
  if (event.offsetX < LABEL && told.objects[row]) {
    tab.object = told.objects[row].id;
    emit("state");
  }
});
canvas.addEventListener("pointermove", (event) => {
  if (event.buttons) go(frameAt(event.offsetX));
  show(event);
});
canvas.addEventListener("pointerleave", hide);
// Redraw everything, after a change of masks or colours.
export function redrawTimeline() {
  stale = true;
  redraw();
}
new ResizeObserver(redraw).observe(canvas);
on("frame progress", redraw);
on("state masks look hello", redrawTimeline);
