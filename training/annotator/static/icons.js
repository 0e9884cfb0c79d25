// Line icons, 24 units wide.
const PATHS = {
  undo: "M9 7 4 12l5 5M4 12h10a6 6 0 0 1 0 12h-2", redo: "m15 7 5 5-5 5M20 12H10a6 6 0 0 0 0 12h2",
  import: "M12 15V3m-5 7 5 5 5-5M4 19h16", export: "M12 3v12M7 8l5-5 5 5M4 19h16",
  theme: "M12 3a9 9 0 1 0 9 9 7 7 0 0 1-9-9z", help: "M9 9a3 3 0 1 1 4 2.8c-.8.4-1 1-1 2.2M12 18h.01M12 2a10 10 0 1 0 0 20 10 10 0 0 0 0-20z",
  plus: "M12 5v14M5 12h14", minus: "M5 12h14",
  left: "M19 12H5m6-6-6 6 6 6", right: "M5 12h14m-6-6 6 6-6 6", both: "M3 12h18M7 8l-4 4 4 4M17 8l4 4-4 4",
  propagate: "M4 6v12M8 12h12m-5-5 5 5-5 5", compare: "M12 3v18M5 6h4v12H5zM15 6h4v12h-4z",
  first: "M6 5v14M19 5 9 12l10 7z", previous: "M16 5 7 12l9 7z", next: "m8 5 9 7-9 7z", play: "m7 4 13 8-13 8z", pause: "M8 5v14M16 5v14",
  scribble: "M4 17c3-9 5-11 6-9s-3 9-1 10 5-9 7-9 0 6 4 5", click: "m5 3 6 17 2.5-7L20 10.500z",
  brush: "M20 4 10 14M9 13c-3 0-4 2-4 4 0 1.500-1 3-2 3 4 1 8 0 8-4 0-1.500-.8-3-2-3z", eraser: "M9 20 3.500 14.500l10-10 6 6L10 20zM9 20h11M8 9l6.500 6.500",
  fill: "M12 3 4 9l3 11h10l3-11z", box: "M4 8V4h4M16 4h4v4M20 16v4h-4M8 20H4v-4M9 12h6", pick: "M14 4l6 6M12 6l6 6-9 9H3v-6z", pan: "M12 3v18M3 12h18M9 6l3-3 3 3M9 18l3 3 3-3M6 9l-3 3 3 3M18 9l3 3-3 3",
  eye: "M2 12s4-7 10-7 10 7 10 7-4 7-10 7S2 12 2 12zM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z", closed: "M3 3l18 18M10 5.200A9.600 9.600 0 0 1 12 5c6 0 10 7 10 7a17 17 0 0 1-3 3.600M6 7.500A17 17 0 0 0 2 12s4 7 10 7a9.500 9.500 0 0 0 4-.900",
  lock: "M6 11h12v9H6zM8.500 11V8a3.500 3.500 0 0 1 7 0v3", open: "M6 11h12v9H6zM8.500 11V7a3.500 3.500 0 0 1 6.500-1.800", trash: "M4 7h16M9 7V4h6v3M6.500 7l1 13h9l1-13M10 11v5M14 11v5",
  keyboard: "M3 6h18v12H3zM7 10h.01M11 10h.01M15 10h.01M8 14h8",
};

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", name === "undo" || name === "redo" ? "1 4 23 23" : "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(svg.namespaceURI, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

export function setIcon(button, name) {
  button.querySelector("svg.icon")?.remove();
  button.prepend(icon(name));
}

// Add icons and keys to buttons, as their data attributes say.
export function addIcons(root) {
  for (const button of root.querySelectorAll("[data-icon]")) button.prepend(icon(button.dataset.icon));
  for (const button of root.querySelectorAll("[data-keys]")) {
    const keys = button.dataset.keys;
    button.title ||= `${button.getAttribute("aria-label") || button.textContent.trim()} (${keys})`;
    if (button.classList.contains("primary")) button.append(Object.assign(document.createElement("kbd"), { textContent: keys }));
  }
}
