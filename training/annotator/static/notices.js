// Short notices over the frame. One with a key takes the place of the one before with that key.
const place = document.getElementById("toasts");
const READING = 70; // milliseconds for a character

export function say(text, bad = false, key = text) {
  for (const old of [...place.children]) if (old.dataset.key === key) old.remove();
  const toast = document.createElement("div");
  toast.className = bad ? "toast bad" : "toast";
  toast.dataset.key = key;
  toast.textContent = text;
  if (bad) { // others let strokes through to the frame below
    toast.title = "Click to close";
    toast.onclick = () => toast.remove();
  }
  place.append(toast);
  while (place.children.length > 3) place.firstChild.remove();
  setTimeout(() => toast.remove(), Math.max(bad ? 7000 : 3500, READING * text.length));
}
