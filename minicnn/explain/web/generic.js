// Layers without a view: what goes in, what comes out, and nothing made up about how.
"use strict";

views.generic = {
  explain({ stage, direction, letters }, side, index) {
    const forward = direction === "forward";
    const d = forward ? "" : "d";
    const arrays = Object.entries(stage.others).filter(([key]) => key.startsWith("d") !== forward);
    return {
      marks: {},
      name: at(d + letters[side === "x" ? 0 : 1], index),
      value: stage[d + side].at(...index),
      body: [
        h(
          "p",
          { class: "note" },
          `The page has no view for ${stage.class}: it shows what goes in and what comes out, not `,
          "how one is made of the other. The layer's formulas are below."
        ),
        arrays.map(([key, tensor]) => parameter(key, tensor)),
      ],
    };
  },
};

function parameter(name, tensor) {
  const flat = tensor.shape.length < 2 ? 1 : tensor.shape.slice(0, -1).reduce((a, b) => a * b, 1);
  const cols = tensor.shape.at(-1) ?? 1;
  const grid = new Grid({
    rows: flat,
    cols,
    name,
    value: (r, c) => tensor.values[r * cols + c],
    label: () => "",
  });
  grid.draw(tensor.largest());
  const sizes = tensor.shape.join(" × ");
  const whose = name.startsWith("d") && content.model.run > 1 ? ", of the whole batch" : "";
  const caption = h("figcaption", {}, `${name} (${sizes})${whose}`);
  return h("figure", { class: "parameter" }, caption, grid.canvas);
}
