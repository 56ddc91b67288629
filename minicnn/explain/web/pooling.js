// MaxPooling2D and AveragePooling2D: one number for each window, channel by channel.
"use strict";

// Row and column, within window (i, j), of its largest cell: of equal ones the first.
function winner(stage, win, i, j, c) {
  let best = null;
  for (let a = 0; a < win.K_h; a++) {
    for (let b = 0; b < win.K_w; b++) {
      const cell = win.under(i, j, a, b);
      if (cell && (best === null || stage.x.at(...cell, c) > best.value)) {
        best = { a, b, cell, value: stage.x.at(...cell, c) };
      }
    }
  }
  return best;
}

function windowRows(stage, win, i, j, c) {
  return win.map((a, b) => {
    const cell = win.under(i, j, a, b);
    return cell && stage.x.at(...cell, c);
  });
}

views.max_pooling = {
  sameChannel: true,

  explain({ stage, direction, letters }, side, [r, q, c]) {
    const win = new Windows(stage);
    const [xName, yName] = letters;
    if (side === "y") {
      const best = winner(stage, win, r, q, c);
      const rows = windowRows(stage, win, r, q, c);
      const name = at(xName, [...best.cell, c]);
      const forward = direction === "forward";
      const value = (forward ? stage.y : stage.dy).at(r, q, c);
      const sent = win.map((a, b) =>
        win.under(r, q, a, b) ? (a === best.a && b === best.b ? value : 0) : null
      );
      return {
        marks: { x: forward ? win.cells(r, q, c) : [[...best.cell, c]] },
        name: at(forward ? yName : `d${yName}`, [r, q, c]),
        value,
        body: [
          h(
            "div",
            { class: "products" },
            matrix(`the window in ${xName}`, rows, undefined, [best.a, best.b]),
            forward ? null : sign("→"),
            forward ? null : matrix(`added to d${xName}`, sent, undefined, [best.a, best.b])
          ),
          say(
            forward
              ? `The largest is ${name} = ${shown(best.value)}. The others have no say.`
              : `Forward, ${name} was the largest: it takes the whole gradient, the others none.`
          ),
        ],
      };
    }
    const over = win.over(r, q);
    const won = over.filter(([i, j, a, b]) => {
      const best = winner(stage, win, i, j, c);
      return best.a === a && best.b === b;
    });
    const marks = { y: (direction === "forward" ? over : won).map(([i, j]) => [i, j, c]) };
    const text =
      over.length === 0
        ? "No window holds this cell: it lies in rows or columns at the end that fill none."
        : won.length === 0
          ? "It was the largest in none of the windows that hold it."
          : `It was the largest in ${won.map(([i, j]) => at(yName, [i, j, c])).join(", ")}.`;
    if (direction === "forward") {
      return { marks, name: at(xName, [r, q, c]), value: stage.x.at(r, q, c), body: [say(text)] };
    }
    const terms = won.map(([i, j]) => signed(stage.dy.at(i, j, c)));
    const value = stage.dx.at(r, q, c);
    return {
      marks,
      name: at(`d${xName}`, [r, q, c]),
      value,
      body: [
        say(text),
        line(
          `${at(`d${xName}`, [r, q, c])} = ` +
            (terms.length ? `${terms.join(" + ")} = ${shown(value)}` : "0, since nothing is sent")
        ),
      ],
    };
  },
};

views.average_pooling = {
  sameChannel: true,

  explain({ stage, direction, letters }, side, [r, q, c]) {
    const win = new Windows(stage);
    const [xName, yName] = letters;
    const real = (i, j) => win.cells(i, j, c).length;
    if (side === "y") {
      const n = real(r, q);
      const forward = direction === "forward";
      const value = (forward ? stage.y : stage.dy).at(r, q, c);
      const sum = total(windowRows(stage, win, r, q, c).flat());
      const large = win.K_h * win.K_w > 100;
      const padded = n < win.K_h * win.K_w ? " Cells of padding are not counted." : "";
      return {
        marks: { x: win.cells(r, q, c) },
        name: at(forward ? yName : `d${yName}`, [r, q, c]),
        value,
        body: forward
          ? [
              large ? null : matrix(`the window in ${xName}`, windowRows(stage, win, r, q, c)),
              line(`mean of ${n} cells = ${shown(sum)} / ${n} = ${shown(value)}`),
              padded ? say(padded) : null,
            ]
          : [
              say(`Each of the ${n} cells of the window takes the same share.${padded}`),
              line(`share = ${shown(value)} / ${n} = ${shown(value / n)}`),
            ],
      };
    }
    const over = win.over(r, q);
    const marks = { y: over.map(([i, j]) => [i, j, c]) };
    if (direction === "forward") {
      const text = `It is one summand of the mean in ${over.length} windows.`;
      return { marks, name: at(xName, [r, q, c]), value: stage.x.at(r, q, c), body: [say(text)] };
    }
    const value = stage.dx.at(r, q, c);
    const shares = over.map(([i, j]) => [
      at(`d${yName}`, [i, j, c]),
      stage.dy.at(i, j, c),
      String(real(i, j)),
      stage.dy.at(i, j, c) / real(i, j),
    ]);
    return {
      marks,
      name: at(`d${xName}`, [r, q, c]),
      value,
      body: [
        shares.length
          ? table(["window", `d${yName}`, "/ cells", "= share"], shares)
          : say("No window holds this cell."),
        line(`${at(`d${xName}`, [r, q, c])} = sum of the shares = ${shown(value)}`),
      ],
    };
  },
};
