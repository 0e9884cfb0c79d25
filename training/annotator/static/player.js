// Which frame is shown, and playback.
import { ask } from "./api.js";
import { atHand, prefetch } from "./frames.js";
import { emit, on, tab, told } from "./state.js";

export function go(frame, playing = false) {
  const target = Math.min(told.frames - 1, Math.max(0, Math.round(frame)));
  if (!playing) tab.playing = false;
  if (target === tab.frame) return emit("frame");
  const ahead = Math.sign(target - tab.frame);
  tab.frame = target;
  tab.visited = true;
  const reach = tab.playing ? 16 : 4;
  prefetch([target, ...Array.from({ length: reach }, (_, i) => target + ahead * (i + 1)), target - ahead]);
  emit("frame");
}

export function play() {
  tab.playing = !tab.playing;
  emit("frame");
  if (!tab.playing) return;
  if (tab.frame === told.frames - 1) go(0, true);
  let due = performance.now();
  const step = (now) => {
    if (!tab.playing) return;
    const each = 1000 / (told.rate * tab.speed);
    if (now >= due + each) {
      const next = tab.frame + 1;
      if (next >= told.frames) {
        tab.playing = false;
        return emit("frame");
      }
      if (atHand(next) || now > due + 1000) {
        go(next, true);
        due = Math.max(due + each, now - each);
      } else prefetch([next]);
    }
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}

// To the next frame after (or before) this one that is in a list of [first, last] ranges. False if there is none.
export function jump(ranges, way) {
  const starts = ranges.map(([first]) => first);
  const found = way > 0 ? starts.find((start) => start > tab.frame) : starts.findLast((start) => start < tab.frame);
  if (found === undefined) return false;
  go(found);
  return true;
}

// The log of a study distinguishes searching for a frame from drawing on it.
on("pressed", () => {
  if (!tab.visited) return;
  tab.visited = false;
  ask({ visit: tab.frame }).catch(() => {});
});
