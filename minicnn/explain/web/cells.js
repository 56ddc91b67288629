// Layers that treat each cell by itself: ReLU, other activations, dropout; and Flatten, which moves
// cells and changes none.
"use strict";

// A map of one number a cell, in the layout of x, between the two panels.
function between(stage, letter, value, note) {
  const { x } = stage;
  const tensor = new Computed(x.shape, value, x.channels);
  tensor.place = x.place;
  if (x.shape.length !== 3) tensor.largest = () => 1;
  return { letter, tensor, full: stage.shapes[0], note };
}

function cellByCell(middleName, middle, forward, backward) {
  return {
    sameChannel: true,

    middle({ stage, direction }) {
      const factor = middle(stage, direction);
      return factor ? between(stage, middleName, factor) : null;
    },

    explain({ stage, direction, letters }, side, index) {
      const [xName, yName] = letters;
      const x = stage.x.at(...index);
      const here = { x: [index], y: [index], w: [index] };
      if (direction === "forward") {
        const y = stage.y.at(...index);
        const value = side === "y" ? y : side === "x" ? x : middle(stage, direction)(...index);
        const letter = side === "y" ? yName : side === "x" ? xName : middleName;
        const name = at(letter, index);
        return { marks: here, name, value, body: forward(stage, index, letters, x, y) };
      }
      const [dx, dy] = [stage.dx.at(...index), stage.dy ? stage.dy.at(...index) : undefined];
      const value = side === "x" ? dx : side === "y" ? dy : middle(stage, direction)(...index);
      const letter = side === "x" ? `d${xName}` : side === "y" ? `d${yName}` : middleName;
      const name = at(letter, index);
      return { marks: here, name, value, body: backward(stage, index, letters, x, dx, dy) };
    },
  };
}

views.relu = cellByCell(
  "open",
  (stage) => (...index) => (stage.x.at(...index) > 0 ? 1 : 0),
  (stage, index, [xName, yName], x, y) => [
    line(`${at(yName, index)} = max(${shown(x)}, 0) = ${shown(y)}`),
    say(x > 0 ? "It passes." : "It is held back: below 0 the output does not move."),
  ],
  (stage, index, [xName, yName], x, dx, dy) => [
    line(
      `${at(xName, index)} = ${shown(x)} is ${x > 0 ? "above 0" : "not above 0"}, so ` +
        `${at(`d${xName}`, index)} = ${x > 0 ? at(`d${yName}`, index) : "0"} = ${shown(dx)}`
    ),
    say(
      x > 0
        ? "The gradient goes through."
        : `The gradient ${shown(dy)} stops here: a small change of ${xName} would change nothing.`
    ),
  ]
);

views.elementwise = cellByCell(
  "slope",
  (stage) => (...index) => stage.others.slope.at(...index),
  (stage, index, [xName, yName], x, y) => [
    line(`${at(yName, index)} = ${shown(y)}, from ${at(xName, index)} = ${shown(x)} alone`),
    stage.settings.rule ? say(stage.settings.rule) : null,
  ],
  (stage, index, [xName, yName], x, dx, dy) => [
    line(
      `${at(`d${xName}`, index)} = ${at(`d${yName}`, index)} * slope = ${shown(dy)} * ` +
        `${signed(stage.others.slope.at(...index))} = ${shown(dx)}`
    ),
    say("The slope is that of y at this x: y moves with its own x, and with no other."),
  ]
);

views.dropout = cellByCell(
  "mask",
  (stage) => (stage.others.mask ? (...index) => stage.others.mask.at(...index) : null),
  (stage, index, [xName, yName], x, y) => {
    const { mask } = stage.others;
    if (!mask) return [line(`${at(yName, index)} = ${at(xName, index)} = ${shown(y)}`)];
    const kept = mask.at(...index);
    return [
      line(`${at(yName, index)} = x * mask = ${shown(x)} * ${shown(kept)} = ${shown(y)}`),
      say(
        kept
          ? `It stays, times 1/(1 - ${shown(stage.settings.rate)}), so that the mean stays.`
          : "It is dropped in this step."
      ),
    ];
  },
  (stage, index, [xName, yName], x, dx, dy) => {
    const { mask } = stage.others;
    const name = at(`d${xName}`, index);
    if (!mask) return [line(`${name} = ${at(`d${yName}`, index)} = ${shown(dx)}`)];
    const kept = mask.at(...index);
    return [
      line(`${name} = d${yName} * mask = ${shown(dy)} * ${shown(kept)} = ${shown(dx)}`),
      say(kept ? "The same factor as forward." : "It had no say in the output: no gradient."),
    ];
  }
);

// x and y hold the same numbers in row-major order
views.flatten = {
  explain({ stage, direction, letters }, side, index) {
    const [from, to] = stage.shapes;
    const flat = index.reduce((n, k, axis) => n * (side === "x" ? from : to)[axis] + k, 0);
    const places = (shape) => {
      let n = flat;
      const found = [];
      for (let axis = shape.length - 1; axis >= 0; axis--) {
        found.unshift(n % shape[axis]);
        n = Math.floor(n / shape[axis]);
      }
      return found;
    };
    const [xIndex, yIndex] = [places(from), places(to)];
    const forward = direction === "forward";
    const d = forward ? "" : "d";
    const tensor = stage[d + side];
    const [xName, yName] = letters.map((letter) => d + letter);
    return {
      marks: { x: [xIndex], y: [yIndex] },
      name: side === "x" ? at(xName, xIndex) : at(yName, yIndex),
      value: tensor.at(...index),
      body: [
        line(`${at(yName, yIndex)} = ${at(xName, xIndex)}`),
        say(
          forward
            ? "Row by row, cell by cell, channel by channel: only the place changes."
            : "The gradient goes back to the place that the number came from."
        ),
      ],
    };
  },
};
