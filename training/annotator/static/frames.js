// Frames and masks in memory: the nearest are fetched first, the least recently used are dropped, and so are requests
// for frames that the user has left. Thumbnails, a few kilobytes each, are dropped in the order in which they came.
import { Refused, get } from "./api.js";
import { emit, tab, told, version } from "./state.js";

const MAX_PICTURES = 300e6; // bytes of decoded frames
const MAX_MASKS = 100e6; // bytes of masks, and as many of masks before the last round
const MAX_REQUESTS = 4; // at the same time
// Each with the least recently used first:
const pictures = new Map(); // frame -> ImageBitmap
const masks = new Map(); // frame -> { version, width, height, ids }
const beforeMasks = new Map(); // "frame.rounds.undo" -> mask
const wanted = new Map(); // key -> { frame, load }
const loading = new Map(); // key -> AbortController
const broken = new Map(); // frame -> why it cannot be shown

export function forget() {
  for (const picture of pictures.values()) picture.close();
  pictures.clear();
  masks.clear();
  beforeMasks.clear();
  broken.clear();
  sharp = null;
}

// An entry of a cache, which is the most recently used from now on.
function recent(cache, key) {
  const found = cache.get(key);
  if (found) {
    cache.delete(key);
    cache.set(key, found);
  }
  return found;
}

// Add an entry, and drop others until all fit; those of a cache have the same size.
function keep(cache, key, entry, bytes, most, drop = () => {}) {
  cache.delete(key);
  cache.set(key, entry);
  const room = Math.max(8, Math.floor(most / bytes));
  while (cache.size > room) {
    const [oldest, dropped] = cache.entries().next().value;
    cache.delete(oldest);
    drop(dropped);
  }
}

// Why a frame's picture cannot be shown, if the server has said so.
export const whyMissing = (frame) => broken.get(frame);

export function pictureOf(frame) {
  const found = recent(pictures, frame);
  if (!found) wantPicture(frame);
  return found;
}

// The newest mask in memory. An outdated one is returned while the current one is fetched.
export function maskOf(frame) {
  const truth = told.study?.phase === "truth";
  const now = truth ? -1 : version(frame);
  if (now === 0) return null;
  const found = recent(masks, frame);
  if (found?.version !== now) want(`m${frame}.${now}`, frame, (f, signal) => loadMask(f, now, truth ? "truth" : "now", signal));
  return found || null;
}

export function maskBefore(frame) {
  const key = `${frame}.${told.rounds}.${told.undo}`;
  const found = recent(beforeMasks, key);
  if (!found) {
    want(`b${key}`, frame, async (f, signal) => {
      const mask = decode(await (await get(`/api/mask/${f}?which=before`, signal)).arrayBuffer(), 0);
      keep(beforeMasks, key, mask, mask.ids.length, MAX_MASKS);
    });
  }
  return found || null;
}

// Fetch frames that will likely be shown next.
export function prefetch(frames) {
  for (const frame of frames) {
    if (frame < 0 || frame >= told.frames) continue;
    if (!pictures.has(frame)) wantPicture(frame);
    maskOf(frame);
  }
}

export const atHand = (frame) => (pictures.has(frame) || broken.has(frame)) && (version(frame) === 0 || masks.has(frame));

function want(key, frame, load) {
  if (loading.has(key) || wanted.has(key)) return;
  wanted.set(key, { frame, load });
  pump();
}

function pump() {
  while (loading.size < MAX_REQUESTS && wanted.size) {
    let best = null;
    for (const [key, { frame }] of wanted) {
      const far = Math.abs(frame - tab.frame);
      if (!best || far < best.far) best = { key, far };
    }
    const { key } = best;
    const { frame, load } = wanted.get(key);
    wanted.delete(key);
    if (best.far > 60) continue; // the user has left it
    const control = new AbortController();
    loading.set(key, control);
    load(frame, control.signal)
      .then(() => emit("loaded", frame))
      .catch((error) => error.name !== "AbortError" && console.debug(error.message))
      .finally(() => {
        loading.delete(key);
        pump();
      });
  }
}

let sharp = null; // { frame, picture }: one, as it may be large

// The frame at its full size, if it is shown smaller.
export function sharpOf(frame) {
  if (sharp?.frame === frame) return sharp.picture;
  if (told.size[0] > told.view[0] && pictures.has(frame)) want(`s${frame}`, frame, loadSharp);
  return null;
}

async function loadSharp(frame, signal) {
  const picture = await createImageBitmap(await (await get(`/api/frame/${frame}?size=full&e=${told.epoch}`, signal)).blob());
  sharp?.picture.close();
  sharp = { frame, picture };
}

function wantPicture(frame) {
  if (!broken.has(frame)) want(`p${frame}`, frame, loadPicture);
}

async function loadPicture(frame, signal) {
  let picture;
  try {
    const blob = await (await get(`/api/frame/${frame}?e=${told.epoch}`, signal)).blob();
    picture = await createImageBitmap(blob);
  } catch (error) {
    if (!(error instanceof Refused) && error.name !== "InvalidStateError") throw error; // the connection, not the frame
    broken.set(frame, error instanceof Refused ? error.message : await whyUndecoded(frame));
    return;
  }
  keep(pictures, frame, picture, 4 * picture.width * picture.height, MAX_PICTURES, (dropped) => dropped.close());
}

// Why the browser cannot decode a frame: the server tries it for a thumbnail, and names a damaged file.
async function whyUndecoded(frame) {
  return thumbnail(frame).then(() => "the browser cannot decode its file", (error) => error.message);
}

async function loadMask(frame, now, which, signal) {
  const mask = decode(await (await get(`/api/mask/${frame}?which=${which}`, signal)).arrayBuffer(), now);
  keep(masks, frame, mask, mask.ids.length, MAX_MASKS);
}

// Little-endian uint32: version, width, height, then id << 24 | length for each run.
function decode(buffer, now) {
  const runs = new Uint32Array(buffer);
  const [, width, height] = runs;
  const ids = new Uint8Array(width * height);
  let at = 0;
  for (let i = 3; i < runs.length; i += 1) {
    const length = runs[i] & 0xffffff;
    const id = runs[i] >>> 24;
    if (id) ids.fill(id, at, at + length);
    at += length;
  }
  return { version: now, width, height, ids };
}

const thumbnails = new Map(); // frame -> object URL
export async function thumbnail(frame) {
  if (!thumbnails.has(frame)) {
    const blob = await (await get(`/api/frame/${frame}?size=thumbnail&e=${told.epoch}`)).blob();
    thumbnails.set(frame, blob);
    if (thumbnails.size > 400) thumbnails.delete(thumbnails.keys().next().value);
  }
  return thumbnails.get(frame);
}
