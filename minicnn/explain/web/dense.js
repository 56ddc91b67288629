// Dense: every output sees every input.
//
//   z[q] = b[q] + sum over p of x[p] * W[p,q]
"use strict";

const MOST_ROWS = 12; // of the products that are listed; the heat map shows all

views.dense = {
  // The weights of the chosen unit, laid out as x is; backward, their gradient.
  middle({ stage, direction, unit }) {
    const { W } = stage.others;
    const q = unit;
    const at =
      direction === "forward" ? (p) => W.at(p, q) : (p) => stage.x.at(p) * stage.dy.at(q);
    const tensor = new Computed([stage.x.channels.length], at, stage.x.channels);
    tensor.place = stage.x.place;
    tensor.largest = () => Math.max(...stage.x.channels.map((p) => Math.abs(at(p)) || 0));
    return {
      letter: direction === "forward" ? `W[:,${q}]` : `dW[:,${q}]`,
      tensor,
      full: [stage.shapes[0][0]],
    };
  },

  explain({ stage, direction, letters, unit }, side, [k]) {
    const { x, y, dx, dy } = stage;
    const { W, b } = stage.others;
    const [xName, yName] = letters;
    if (side === "w") {
      const q = unit;
      if (direction === "forward") {
        const value = W.at(k, q);
        const text = `This weight carries x[${k}] = ${shown(x.at(k))} into ${at(yName, [q])}.`;
        return { marks: { x: [[k]], y: [[q]] }, name: `W[${k},${q}]`, value, body: [say(text)] };
      }
      const value = x.at(k) * dy.at(q);
      return {
        marks: { x: [[k]], y: [[q]] },
        name: `dW[${k},${q}]`,
        value,
        body: [
          line(
            `dW[${k},${q}] = x[${k}] * d${yName}[${q}] = ${shown(x.at(k))} * ` +
              `${signed(dy.at(q))} = ${shown(value)}`
          ),
          b ? line(`db[${q}] = d${yName}[${q}] = ${shown(dy.at(q))}`) : null,
          batchNote(),
        ],
      };
    }
    if (direction === "forward" && side === "y") {
      const products = x.channels.map((p) => [p, x.at(p), W.at(p, k), x.at(p) * W.at(p, k)]);
      const sum = total(products.map((row) => row[3]));
      const bias = b ? b.at(k) : 0;
      const value = y.at(k);
      return {
        marks: {},
        name: at(yName, [k]),
        value,
        body: [
          say(`Each of the ${stage.shapes[0][0]} inputs is multiplied by its weight.`),
          largestOf(["p", "x[p]", `W[p,${k}]`, "product"], products),
          rest("the inputs that are not kept", value - bias - sum, stage, x.channels, "x"),
          line(
            `${at(yName, [k])} = ${b ? `b[${k}] + ` : ""}sum of products = ` +
              `${b ? `${shown(bias)} + ` : ""}` +
              `${signed(whole(stage, x.channels, "x") ? sum : value - bias)} = ${shown(value)}`
          ),
        ],
      };
    }
    if (direction === "backward" && side === "x") {
      const products = y.channels.map((q) => [q, dy.at(q), W.at(k, q), dy.at(q) * W.at(k, q)]);
      const value = dx.at(k);
      const sum = total(products.map((row) => row[3]));
      return {
        marks: {},
        name: at(`d${xName}`, [k]),
        value,
        body: [
          say(`x[${k}] reached every unit through a weight, and collects from each of them.`),
          largestOf(["q", `d${yName}[q]`, `W[${k},q]`, "product"], products),
          rest("the units that are not kept", value - sum, stage, y.channels, "y"),
          line(`d${xName}[${k}] = sum of products = ${shown(value)}`),
        ],
      };
    }
    const [tensor, name] = direction === "forward" ? [x, xName] : [dy, `d${yName}`];
    const text =
      direction === "forward"
        ? `Every unit takes this number, each with another weight: row ${k} of W.`
        : `This number goes back to every input, times its weight: column ${k} of W. And it is ` +
          `db[${k}]; times each x[p] it is dW[p,${k}].`;
    return { marks: {}, name: at(name, [k]), value: tensor.at(k), body: [say(text)] };
  },
};

// the rows with the largest last number
function largestOf(heads, rows) {
  const sorted = [...rows].sort((p, q) => Math.abs(q.at(-1)) - Math.abs(p.at(-1)));
  const few = sorted.slice(0, MOST_ROWS).map(([k, ...rest]) => [String(k), ...rest]);
  if (rows.length <= MOST_ROWS) return table(heads, few);
  const others = total(sorted.slice(MOST_ROWS).map((row) => row.at(-1)));
  const last = [`${rows.length - MOST_ROWS} others`, "", "", others];
  return table(heads, [...few, last], "The largest products");
}
