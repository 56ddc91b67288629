// The page: a row of steps, the picture of one of them, and what the chosen cell is made of.
"use strict";

const state = { step: 0, direction: "forward", side: "y", index: null };
const chosenChannels = new Map(); // by step: the channels of x and y that are in view
let panels = {};
let timer = null; // of Play
let remembering = null;

function largestIndex(tensor) {
  const { values } = tensor;
  let best = 0;
  for (let n = 1; n < values.length; n++) {
    if (Math.abs(values[n]) > Math.abs(values[best])) best = n;
  }
  const shape = [...tensor.shape];
  if (tensor.place) shape[shape.length - 1] = tensor.channels.length;
  const index = [];
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    index.unshift(best % shape[axis]);
    best = Math.floor(best / shape[axis]);
  }
  if (tensor.place) index[index.length - 1] = tensor.channels[index.at(-1)];
  return index;
}

function tensorsOf(stage) {
  return state.direction === "forward"
    ? { x: stage.x, y: stage.y }
    : { x: stage.dx, y: stage.dy };
}

// Everything that a view needs to know of what is in view.
function frameOf(stage) {
  const channels = chosenChannels.get(state.step);
  return {
    stage,
    direction: state.direction,
    letters: stage.letters,
    xChannel: channels.x,
    yChannel: channels.y,
    unit: channels.unit,
  };
}

function show(step, direction) {
  stop();
  const stage = stages[step];
  Object.assign(state, { step, direction });
  const { x, y } = tensorsOf(stage);
  state.side = (direction === "forward" || !x) && y ? "y" : "x";
  if (!chosenChannels.has(step)) {
    const strongest = largestIndex(y || stage.y);
    const c = stage.x.channels[0];
    const view = views[stage.view];
    const same = view.sameChannel && stage.x.has(strongest.at(-1));
    chosenChannels.set(step, {
      x: same ? strongest.at(-1) : c,
      y: strongest.at(-1),
      unit: strongest.at(-1),
    });
  }
  const tensor = state.side === "y" ? y : x;
  state.index = tensor ? largestIndex(tensor) : null;
  if (tensor) follow(state.side, state.index);
  draw();
  remember(`#${step}-${direction}`);
}

// A reload shows the same step. Browsers refuse many changes of the address in a short time.
function remember(hash) {
  clearTimeout(remembering);
  remembering = setTimeout(() => history.replaceState(null, "", hash), 500);
}

// The channel of the chosen cell comes into view.
function follow(side, index) {
  const stage = stages[state.step];
  if (side === "w") return;
  const channels = chosenChannels.get(state.step);
  const { x, y } = stage;
  if (side === "y" && y.shape.length === 1) channels.unit = index[0];
  if ((side === "x" ? x : y).shape.length !== 3) return;
  channels[side] = index.at(-1);
  const other = side === "x" ? "y" : "x";
  if (views[stage.view].sameChannel && stage[other].has(index.at(-1))) {
    channels[other] = index.at(-1);
  }
}

function pick(side, index) {
  Object.assign(state, { side, index });
  follow(side, index);
  update();
}

function pickChannel(side, channel) {
  const { index } = state;
  // the chosen cell moves along to the new channel
  if (state.side === side && index.length === 3) return pick(side, [index[0], index[1], channel]);
  follow(side, [0, 0, channel]);
  if (views[stages[state.step].view].sameChannel && index.length === 3) {
    state.index = [index[0], index[1], channel];
  }
  return update();
}

function draw() {
  const stage = stages[state.step];
  const view = views[stage.view];
  const { x, y } = tensorsOf(stage);
  const d = state.direction === "forward" ? "" : "d";
  const [xShape, yShape] = stage.shapes;
  const panel = (side, tensor, letter, full) =>
    tensor
      ? new Panel({
          side,
          letter: d + letter,
          tensor,
          full,
          onPick: (index) => (stop(), pick(side, index)),
          onChannel: (channel) => (stop(), pickChannel(side, channel)),
        })
      : null;
  panels = {
    x: panel("x", x, stage.letters[0], xShape),
    y: panel("y", y, stage.letters[1], yShape),
  };
  const arrow = h("div", { class: "arrow", "aria-hidden": "true" });
  arrow.textContent = state.direction === "forward" ? "→" : "←";
  const middle = h("div", { class: "middle" });
  const missing = y
    ? null
    : h("p", { class: "note" }, "The loss works on the scores, so there is no gradient here.");
  document.getElementById("picture").replaceChildren(
    panels.x ? panels.x.element : "",
    h("div", { class: "between" }, arrow, view.middle ? middle : null),
    panels.y ? panels.y.element : missing
  );
  document.getElementById("step").replaceChildren(...heading(stage));
  document.getElementById("lesson").replaceChildren(...lesson(stage));
  for (const [k, button] of [...document.querySelectorAll("#steps button")].entries()) {
    button.setAttribute("aria-current", k === state.step ? "step" : "false");
    button.tabIndex = k === state.step ? 0 : -1;
    if (k === state.step) {
      bringIntoView(button, button.closest("ol"));
    }
  }
  for (const button of document.querySelectorAll("#direction button")) {
    button.setAttribute("aria-pressed", button.value === state.direction);
  }
  update();
}

function update() {
  const stage = stages[state.step];
  const view = views[stage.view];
  const frame = frameOf(stage);
  const channels = chosenChannels.get(state.step);
  const middle = document.querySelector("#picture .middle");
  if (middle && view.middle) {
    const shown = view.middle(frame);
    panels.w = shown
      ? new Panel({
          ...shown,
          side: "w",
          channel: shown.tensor.shape.length === 3 ? channels.x : undefined,
          onPick: (index) => (stop(), pick("w", index)),
          onChannel: (channel) => (stop(), pickChannel("x", channel)),
        })
      : null;
    const focused = middle.contains(document.activeElement);
    middle.replaceChildren(panels.w ? panels.w.element : "");
    if (focused && panels.w) panels.w.grid.canvas.focus();
  }
  if (state.index === null) {
    document.getElementById("result").replaceChildren();
    document.getElementById("body").replaceChildren();
    return;
  }
  const told = view.explain(frame, state.side, state.index);
  for (const side of ["x", "w", "y"]) {
    const panel = panels[side];
    if (!panel) continue;
    if (side !== "w" && panel.layout.channels) panel.channel = channels[side];
    panel.draw(state.side === side ? state.index : null, told.marks[side]);
  }
  document.getElementById("result").replaceChildren(
    h("b", { class: "name" }, told.name),
    " = ",
    h("span", { class: "value" }, shown(told.value))
  );
  document.getElementById("body").replaceChildren(...told.body.flat().filter((part) => part));
}

function heading(stage) {
  const notes = stage.notes.map((note) => h("p", { class: "note" }, note));
  const settings = Object.entries(stage.settings)
    .filter(([key]) => /^(K_|S_|P_|D_|groups|padding|rate)/.test(key))
    .map(([key, value]) => `${key}=${typeof value === "number" ? shown(value) : value}`)
    .join(", ");
  return [
    h("h2", {}, h("span", {}, stage.class), " ", h("small", {}, stage.name)),
    settings ? h("p", { class: "settings" }, settings) : "",
    ...notes,
  ];
}

function lesson(stage) {
  const parts = stage.lesson.map(([head, text]) => [
    head ? h("h4", {}, head) : "",
    head === "Why" || !head ? h("p", { class: "words" }, text) : h("pre", { tabindex: 0 }, text),
  ]);
  const letters = "n counts the images of the batch. The page shows one, and leaves n out.";
  const batch = stage.lesson.some(([, text]) => text.includes("[n,"));
  const source = h("p", { class: "source" }, "Source: ", h("code", {}, stage.source));
  return [
    h("h3", {}, `${stage.class}, in its docstring's words`),
    ...parts.flat(),
    batch ? h("p", { class: "note" }, letters) : "",
    stage.source ? source : "",
  ];
}

// -- moving through the cells ---------------------------------------------------------------------

function stop() {
  clearInterval(timer);
  timer = null;
  const button = document.getElementById("play");
  if (button) button.textContent = "Play";
}

function play() {
  if (timer) return stop();
  document.getElementById("play").textContent = "Stop";
  timer = setInterval(() => {
    const panel = panels[state.side];
    const { layout, grid } = panel;
    const [r, c] = grid.chosen || [0, -1];
    const next = (r * grid.cols + c + 1) % (grid.rows * grid.cols);
    const index = layout.index(Math.floor(next / grid.cols), next % grid.cols, panel.channel);
    if (index) pick(state.side, index);
    else pick(state.side, layout.index(0, 0, panel.channel));
  }, 250);
  return null;
}

// -- the frame of the page ------------------------------------------------------------------------

function steps() {
  const list = h(
    "ol",
    {},
    stages.map((stage, k) =>
      h(
        "li",
        {},
        h(
          "button",
          { type: "button", onclick: () => show(k, state.direction) },
          h("b", {}, stage.class),
          h("small", {}, `${stage.shapes[1].join(" × ")}`)
        )
      )
    )
  );
  list.addEventListener("keydown", (event) => {
    const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!move) return;
    event.preventDefault();
    const next = Math.max(0, Math.min(stages.length - 1, state.step + move));
    show(next, state.direction);
    list.querySelectorAll("button")[next].focus();
  });
  return h("nav", { id: "steps", "aria-label": "steps" }, list);
}

function directions() {
  const { backward } = content.model;
  const button = (direction, text) =>
    h(
      "button",
      {
        type: "button",
        value: direction,
        disabled: direction === "backward" && !backward,
        onclick: () => show(state.step, direction),
      },
      text
    );
  return h(
    "div",
    { id: "direction", role: "group", "aria-label": "direction" },
    button("forward", "Forward →"),
    button("backward", "← Backward"),
    h("button", { type: "button", id: "play", class: "quiet", onclick: play }, "Play"),
    backward
      ? null
      : h("span", { class: "note" }, "Backward needs a target: explain(model, x, y)")
  );
}

function start() {
  document.getElementById("page").replaceChildren(
    overview(),
    steps(),
    h("section", { id: "step", "aria-label": "step" }),
    directions(),
    h("div", { id: "picture" }),
    h(
      "section",
      { id: "told", "aria-label": "the chosen cell" },
      h("output", { id: "result", "aria-live": "polite" }),
      h("div", { id: "body" })
    ),
    h("section", { id: "lesson", "aria-label": "formulas" }),
    h(
      "footer",
      {},
      "Colours: orange above 0, blue below, white at 0, grey where the page keeps nothing. Click ",
      "a cell, or use Tab and the arrow keys. Gradients are of this image's own loss; fit takes ",
      "the mean over the batch. Made by minicnn.explain."
    )
  );
  const [, step, direction] = /^#(\d+)-(forward|backward)$/.exec(location.hash) || [];
  const convolution = stages.findIndex((stage) => stage.view === "convolution");
  const first = step < stages.length ? Number(step) : Math.max(0, convolution);
  show(first, direction === "backward" && content.model.backward ? "backward" : "forward");
}

start();
