// Short notices over the frame. A notice replaces an earlier one with the same key.
const place = document.getElementById("toasts");
const READING_TIME = 70; // milliseconds a character

export function say(text, bad = false, key = text) {
  for (const old of [...place.children]) if (old.dataset.key === key) old.remove();
  const toast = document.createElement("div");
  toast.className = bad ? "toast bad" : "toast";
  toast.dataset.key = key;
  toast.textContent = text;
  if (bad) { // only errors: under other notices the frame can be drawn on
    toast.title = "Click to close";
    toast.onclick = () => toast.remove();
  }
  place.append(toast);
  while (place.children.length > 3) place.firstChild.remove();
  setTimeout(() => toast.remove(), Math.max(bad ? 7000 : 3500, READING_TIME * text.length));
}
