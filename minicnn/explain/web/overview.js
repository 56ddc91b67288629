// The head of the page: the image, what the model says of it, and what that depends on.
"use strict";

function overview() {
  const { model, attention } = content;
  const output = stages.at(-1).y;
  const facts = [
    `${model.parameters.toLocaleString("en")} parameters`,
    model.N === 1 ? "one image" : `image ${model.image} of a batch of ${model.N}`,
  ];
  const has = (view) => stages.some((stage) => stage.view === view);
  const pass = model.training
    ? [
        "Training pass",
        has("normalization") && "batch normalization takes the mean and variance of this batch",
        has("dropout") && `dropout draws the mask that fit would draw in step ${model.step}`,
      ]
    : [
        "Inference pass, as in predict",
        has("normalization") && "batch normalization uses its running statistics",
        has("dropout") && "dropout does nothing",
      ];
  const [kind, ...why] = pass.filter((part) => part);
  return h(
    "header",
    {},
    h("h1", {}, model.name),
    h("p", { class: "facts" }, facts.join(", ")),
    h("p", { class: "pass" }, h("b", {}, kind), why.length ? `: ${why.join(", and ")}.` : "."),
    model.share < 1
      ? h(
          "p",
          { class: "note" },
          "The model is too large for a page of this size, so of each layer the channels and ",
          "units with the largest numbers are kept. Sums say what the others add together. More: ",
          "explain(..., megabytes=50)."
        )
      : null,
    model.float64
      ? h("p", { class: "note" }, "The model computes in float64; the page holds float32.")
      : null,
    h("div", { class: "images" }, pictures(attention), probabilities(output))
  );
}

function pictures(attention) {
  const first = stages[0].x;
  if (first.shape.length !== 3) return null;
  const found = [figure(picture(first), "the image")];
  const chosen = attention.class === null ? "" : className(attention.class);
  const score = attention.of_score ? `score of ${chosen}` : `output for ${chosen}`;
  if (attention.saliency) {
    const map = heat(tensorOf(attention.saliency), "saliency");
    found.push(figure(map, `saliency: |d(${score})/dx|`));
  }
  if (attention.cam) {
    const map = heat(tensorOf(attention.cam), "Grad-CAM");
    found.push(figure(map, `Grad-CAM of ${attention.cam_layer}, for the ${score}`));
  }
  if (attention.why_not) found.push(h("p", { class: "note" }, attention.why_not));
  return found;
}

function figure(canvas, caption) {
  return h("figure", {}, canvas, h("figcaption", {}, caption));
}

// grey, or red, green and blue; from the smallest number to the largest
function picture(tensor) {
  const [rows, cols, C] = tensor.shape;
  let [low, high] = [Infinity, -Infinity];
  for (const value of tensor.values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const canvas = h("canvas", { width: cols, height: rows, role: "img", "aria-label": "the image" });
  const image = new ImageData(cols, rows);
  for (let r = 0, n = 0; r < rows; r++) {
    for (let c = 0; c < cols; c++, n += 4) {
      for (let k = 0; k < 3; k++) {
        const value = tensor.at(r, c, C === 3 ? k : tensor.channels[0]);
        image.data[n + k] = high > low ? (255 * (value - low)) / (high - low) : 0;
      }
      image.data[n + 3] = 255;
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

function heat(tensor, name) {
  const [rows, cols] = tensor.shape;
  const value = (r, c) => tensor.at(r, c);
  const grid = new Grid({ rows, cols, name, value, label: () => "", scale: sequential });
  grid.draw(tensor.largest());
  return grid.canvas;
}

// the outputs, the largest first
function probabilities(output) {
  if (output.shape.length !== 1) return null;
  const { model } = content;
  const most = 10;
  const order = [...output.channels].sort((p, q) => output.at(q) - output.at(p));
  const largest = output.largest();
  const rows = order.slice(0, most).map((k) => {
    const right = model.label === k && output.shape[0] > 1;
    return h(
      "li",
      { class: right ? "right" : null },
      h("span", { class: "name" }, className(k), right ? " (the label)" : ""),
      h("span", { class: "bar", "aria-hidden": "true" },
        h("span", { style: `width:${(100 * Math.abs(output.at(k))) / (largest || 1)}%` })
      ),
      h("span", { class: "number" }, shown(output.at(k), 3))
    );
  });
  return h(
    "section",
    { class: "outputs", "aria-label": "the model's output" },
    h("ol", {}, rows),
    order.length > most ? h("p", { class: "note" }, `and ${order.length - most} more`) : null,
    model.backward ? h("p", {}, `Loss (${model.loss_name}): ${shown(model.loss)}`) : null
  );
}
