// Short notices over the frame.
const place = document.getElementById("toasts");

export function say(text, bad = false) {
  for (const old of place.children) if (old.textContent === text) old.remove();
  const toast = document.createElement("div");
  toast.className = bad ? "toast bad" : "toast";
  toast.textContent = text;
  place.append(toast);
  while (place.children.length > 3) place.firstChild.remove();
  setTimeout(() => toast.remove(), bad ? 7000 : 3500);
}
