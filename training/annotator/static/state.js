// The state of the page: what the server has sent (told), and what belongs to this tab alone (tab).
export const told = {
  ready: false, video: "", frames: 1, size: [1, 1], view: [1, 1], working: [1, 1], rate: 24, names: null, can: {}, out: "", places: {}, epoch: "",
  objects: [], next: 1, rows: [], interacted: new Set(), corrected: [], lastRound: [], drift: [], rounds: 0, undo: 0, redo: 0,
  draft: null, unsaved: "", progress: null, study: null, gauges: {},
};
export const tab = {
  frame: 0, tool: "brush", object: 1, size: 12, box: null, mode: "mask", opacity: 0.45, before: false, playing: false, speed: 1,
  direction: "both", pen: null, visited: false, computing: false,
};

const subscribers = new Map();
// Names: "state" (masks and objects), "progress", "gauges", "frame", "tool", "look", "hello", "study", "computing".
export function on(names, listener) {
  for (const name of names.split(" ")) subscribers.set(name, [...(subscribers.get(name) || []), listener]);
}
export function emit(name, value) {
  for (const listener of subscribers.get(name) || []) listener(value);
}

export const version = (frame) => told.rows[frame]?.[0] || 0;
export const lanes = (frame) => told.rows[frame]?.[1] || {};
export const objectOf = (id) => told.objects.find((one) => one.id === id);
export const nameOf = (frame) => told.names?.[frame] ?? String(frame).padStart(5, "0");

export function hear(news) {
  if (news.hello) {
    const { state, ...rest } = news.hello;
    const another = told.epoch !== rest.epoch;
    Object.assign(told, rest);
    told.rows = [];
    if (state) take(state);
    emit("hello", another);
    emit("state");
    emit("progress");
    emit("gauges");
    emit("study");
  }
  if (news.frames) {
    for (const [frame, row] of Object.entries(news.frames)) told.rows[frame] = [row[0], row[1] || told.rows[frame]?.[1] || {}];
    if (Object.keys(news.frames).length) emit("masks");
  }
  if (news.state) {
    take(news.state);
    emit("state");
  }
  if ("progress" in news) {
    told.progress = news.progress;
    emit("progress");
  }
  if (news.gauges) {
    told.gauges = news.gauges;
    emit("gauges");
  }
  if (news.study) {
    const phase = told.study?.phase;
    told.study = news.study;
    emit("study", phase !== news.study.phase);
  }
}

function take(state) {
  for (const [frame, row] of Object.entries(state.frames)) told.rows[frame] = row;
  Object.assign(told, {
    objects: state.objects, next: state.next, interacted: new Set(state.interacted), corrected: state.corrected,
    lastRound: state.last_round, drift: state.drift, rounds: state.rounds, undo: state.undo, redo: state.redo, draft: state.draft,
    unsaved: state.unsaved,
  });
  if (tab.object && !objectOf(tab.object)) tab.object = told.objects[0]?.id ?? 0;
}
