// Elements, numbers and tables. Texts of the model go through textContent: a name is never HTML.
"use strict";

function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  for (const child of children.flat(Infinity)) {
    if (child != null && child !== false) element.append(child);
  }
  return element;
}

// six digits, as many as a float32 has for certain
function shown(value, digits = 6) {
  if (value === undefined) return "not kept";
  if (value === null) return "not finite";
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text =
    size >= 1e6 || size < 1e-4 ? value.toExponential(digits - 1) : value.toPrecision(digits);
  return text.replace(/\.?0+($|e)/, "$1").replace("e+", "e");
}

// as many as a cell of a table has room for
function short(value) {
  return value === undefined ? "" : shown(value, 3);
}

// in a sum or product, where a minus needs its brackets
function signed(value) {
  return value < 0 ? `(${shown(value)})` : shown(value);
}

// "z[5,7,3]"
function at(letter, index) {
  return `${letter}[${index.join(",")}]`;
}

// Scrolls the row that an element stands in, and not the page, which stays where it is.
function bringIntoView(element, row = element.parentElement) {
  const places = [element, row].map((one) => one.getBoundingClientRect());
  const [box, frame] = places;
  row.scrollLeft += (box.left + box.right - frame.left - frame.right) / 2;
}

// Colours. With a sign: blue below 0, orange above, which colour-blind readers tell apart; white is
// 0. Without a sign: cividis, which was made for them.
const BLUE = [33, 102, 172];
const ORANGE = [217, 95, 2];
const CIVIDIS = [
  [0, 34, 78],
  [65, 77, 107],
  [124, 123, 120],
  [188, 175, 111],
  [254, 232, 56],
];

function diverging(value, largest) {
  if (!Number.isFinite(value)) return [190, 190, 190];
  const part = largest > 0 ? Math.min(1, Math.abs(value) / largest) : 0;
  const depth = Math.pow(part, 0.7); // small numbers stay visible beside large ones
  const end = value < 0 ? BLUE : ORANGE;
  return end.map((tone) => Math.round(255 + (tone - 255) * depth));
}

function sequential(value, largest) {
  if (!Number.isFinite(value)) return [190, 190, 190];
  const place = (largest > 0 ? Math.min(1, Math.max(0, value / largest)) : 0) * 4;
  const k = Math.min(3, Math.floor(place));
  return CIVIDIS[k].map((tone, n) => Math.round(tone + (CIVIDIS[k + 1][n] - tone) * (place - k)));
}

function css(rgb) {
  return `rgb(${rgb.join(",")})`;
}

function ink(rgb) {
  return 0.3 * rgb[0] + 0.59 * rgb[1] + 0.11 * rgb[2] < 140 ? "#fff" : "#111";
}

// A small table of numbers on their colours: a window, a kernel, products.
// `rows` holds lists of numbers, or of null for a cell of padding; `strong` is a cell to frame.
function matrix(caption, rows, largest, strong) {
  const top = largest ?? Math.max(0, ...rows.flat().map((v) => Math.abs(v) || 0));
  return h(
    "figure",
    { class: "matrix" },
    h("figcaption", {}, caption),
    h(
      "div",
      { class: "scroll", tabindex: rows[0].length > 6 ? 0 : null },
      h(
        "table",
        {},
        rows.map((row, r) =>
          h(
            "tr",
            {},
            row.map((value, c) => {
              if (value === null) return h("td", { class: "padding", title: "padding" }, "0");
              const rgb = diverging(value, top);
              const chosen = strong && strong[0] === r && strong[1] === c;
              return h(
                "td",
                {
                  style: `background:${css(rgb)};color:${ink(rgb)}`,
                  class: chosen ? "strong" : null,
                },
                short(value)
              );
            })
          )
        )
      )
    )
  );
}

// A table with a heading; `rows` are lists of texts, numbers and elements.
function table(heads, rows, caption) {
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": caption || heads.join(", ") },
    h(
      "table",
      { class: "list" },
      caption ? h("caption", {}, caption) : null,
      h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
      h(
        "tbody",
        {},
        rows.map((row) =>
          h(
            "tr",
            { class: row.chosen ? "strong" : null },
            (row.cells || row).map((cell) =>
              h("td", {}, typeof cell === "number" ? shown(cell) : cell)
            )
          )
        )
      )
    )
  );
}

// A number under its name, for tables that have to fit on a phone.
function named(name, value) {
  return h("span", { class: "named" }, h("small", {}, name), " ", shown(value));
}

function sign(text) {
  return h("span", { class: "sign", "aria-hidden": "true" }, text);
}

function say(...parts) {
  return h("p", {}, ...parts);
}

// A line of a derivation: its letters, and the numbers that stand for them.
function line(text) {
  return h("p", { class: "equation" }, text);
}
