// The canvas: a frame, its masks, and what is being drawn.
import { maskBefore, maskOf, pictureOf, sharpOf, whyMissing } from "./frames.js";
import { emit, objectOf, on, tab, told } from "./state.js";

export const canvas = document.getElementById("view");
const context = canvas.getContext("2d", { alpha: false });
const overlay = document.createElement("canvas");
const overlayContext = overlay.getContext("2d");
let overlayKey = "";
let lastPicture = null;
let scheduled = false;

// Pixels of the shown frame to pixels of the window: x' = x * scale + left.
export const place = { scale: 1, left: 0, top: 0, fitted: true };
// Functions that draw over the frame, in its shown pixels: called with (context, scale).
export const painters = new Set();

export function redraw() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    draw();
  });
}

export function fit() {
  const { width, height } = canvas.getBoundingClientRect();
  const [rows, columns] = told.view;
  place.scale = Math.min((width - 24) / columns, (height - 24) / rows);
  place.left = (width - columns * place.scale) / 2;
  place.top = (height - rows * place.scale) / 2;
  place.fitted = true;
  emit("zoom");
  redraw();
}

export function zoom(factor, x, y) {
  const rectangle = canvas.getBoundingClientRect();
  const pen = tab.pen && [tab.pen.at[0] * place.scale + place.left, tab.pen.at[1] * place.scale + place.top];
  const [cx, cy] = x !== undefined ? [x, y] : pen || [rectangle.width / 2, rectangle.height / 2];
  const scale = Math.min(40, Math.max(0.05, place.scale * factor));
  place.left = cx - ((cx - place.left) * scale) / place.scale;
  place.top = cy - ((cy - place.top) * scale) / place.scale;
  place.scale = scale;
  place.fitted = false;
  emit("zoom");
  redraw();
}

export function pan(dx, dy) {
  place.left += dx;
  place.top += dy;
  place.fitted = false;
  redraw();
}

// Move the frame until a point of it is at least ``margin`` pixels inside the window.
export function reveal([x, y], margin = 60) {
  const { width, height } = canvas.getBoundingClientRect();
  const inside = (at, size) => Math.min(size - margin, Math.max(margin, at)) - at;
  const [dx, dy] = [inside(x * place.scale + place.left, width), inside(y * place.scale + place.top, height)];
  if (!place.fitted && (dx || dy)) pan(dx, dy);
}

export function toFrame(x, y) {
  return [(x - place.left) / place.scale, (y - place.top) / place.scale];
}

// The object under a point of the shown frame; 0 is the background.
export function objectAt(x, y) {
  const mask = maskOf(tab.frame);
  if (!mask || x < 0 || y < 0 || x >= mask.width || y >= mask.height) return 0;
  return mask.ids[Math.floor(y) * mask.width + Math.floor(x)];
}

function draw() {
  const ratio = window.devicePixelRatio || 1;
  const { width, height } = canvas.getBoundingClientRect();
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--stage");
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.setTransform(ratio * place.scale, 0, 0, ratio * place.scale, ratio * place.left, ratio * place.top);
  context.imageSmoothingEnabled = place.scale < 3;
  const [rows, columns] = told.view;
  const picture = pictureOf(tab.frame);
  if (picture) lastPicture = tab.frame;
  const shown = picture || (lastPicture !== null && !whyMissing(tab.frame) && pictureOf(lastPicture));
  const enlarged = ratio * place.scale > 1.2 && !tab.playing && picture && sharpOf(tab.frame);
  if (shown && shown.width) context.drawImage(enlarged || shown, 0, 0, columns, rows);
  const mask = tab.before ? maskBefore(tab.frame) : maskOf(tab.frame);
  if (tab.mode !== "none" && (mask || tab.mode === "fade" || tab.mode === "light")) {
    paintOverlay(mask, rows, columns);
    context.drawImage(overlay, 0, 0, columns, rows);
  }
  for (const painter of painters) painter(context, place.scale);
  emit("drawn");
}

// Bytes in memory are red, green, blue, alpha; as one little-endian number: alpha first.
const packed = (red, green, blue, alpha) => ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;

function paintOverlay(mask, rows, columns) {
  const look = told.objects.map((one) => `${one.id}${one.colour}${one.hidden}`).join();
  const key = `${tab.frame}|${mask?.version}|${tab.before && told.rounds}|${look}|${tab.mode}|${tab.opacity}`;
  if (key === overlayKey && mask) return;
  overlayKey = key;
  const [width, height] = mask ? [mask.width, mask.height] : [columns, rows];
  if (overlay.width !== width || overlay.height !== height) Object.assign(overlay, { width, height });
  const image = overlayContext.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const inside = new Uint32Array(256);
  const edges = new Uint32Array(256);
  const shade = Math.round(255 * Math.min(0.92, 0.35 + 0.6 * tab.opacity));
  const outside = tab.mode === "fade" ? packed(0, 0, 0, shade) : tab.mode === "light" ? packed(255, 255, 255, shade) : 0;
  inside.fill(outside);
  edges.fill(outside);
  for (const one of told.objects) {
    if (one.hidden) continue;
    const [red, green, blue] = [1, 3, 5].map((at) => parseInt(one.colour.slice(at, at + 2), 16));
    inside[one.id] = tab.mode === "mask" ? packed(red, green, blue, Math.round(255 * tab.opacity)) : 0;
    edges[one.id] = packed(red, green, blue, tab.mode === "contour" ? 255 : Math.round(255 * Math.min(1, tab.opacity + 0.35)));
  }
  if (!mask) pixels.fill(outside);
  else {
    const { ids } = mask;
    for (let i = 0; i < ids.length; i += 1) pixels[i] = inside[ids[i]];
    const around = width > 1200 || tab.mode === "contour" ? 2 : 1;
    for (let y = 0, i = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1, i += 1) {
        const id = ids[i];
        if (id === 0) continue;
        const border =
          (x >= around && ids[i - around] !== id) || (x < width - around && ids[i + around] !== id) ||
          (y >= around && ids[i - around * width] !== id) || (y < height - around && ids[i + around * width] !== id);
        if (border) pixels[i] = edges[id];
      }
    }
  }
  overlayContext.putImageData(image, 0, 0);
}

export const colourOf = (id) => (id === 0 ? "#ffffff" : objectOf(id)?.colour || "#ffffff");

new ResizeObserver(() => (place.fitted ? fit() : redraw())).observe(canvas);
on("state frame look masks progress study", redraw);
on("loaded", (frame) => frame === tab.frame && redraw());
on("hello", (another) => another && fit());
