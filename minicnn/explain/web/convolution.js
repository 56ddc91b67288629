// Conv2D: a window slides over x. Backward goes through the same windows the other way.
//
//   z[i,j,f] = b[f] + sum over a,b,c of x[h,w,c] * W[a,b,c,f]
//              h = i*S_h + a*D_h - P_top,   w = j*S_w + b*D_w - P_left
"use strict";

class Windows {
  constructor(stage) {
    Object.assign(this, stage.settings);
    [this.H_in, this.W_in] = stage.shapes[0];
    [this.H_out, this.W_out] = stage.shapes[1].length === 3 ? stage.shapes[1] : [1, 1];
  }

  // row and column of x under cell (a, b) of window (i, j), or null in the padding
  under(i, j, a, b) {
    const h = i * this.S_h + a * this.D_h - this.P_top;
    const w = j * this.S_w + b * this.D_w - this.P_left;
    return h >= 0 && h < this.H_in && w >= 0 && w < this.W_in ? [h, w] : null;
  }

  // the windows that hold cell (h, w) of x: [i, j, a, b] of each
  over(h, w) {
    const found = [];
    for (let a = 0; a < this.K_h; a++) {
      for (let b = 0; b < this.K_w; b++) {
        const i = (h + this.P_top - a * this.D_h) / this.S_h;
        const j = (w + this.P_left - b * this.D_w) / this.S_w;
        if (Number.isInteger(i) && Number.isInteger(j) && this.has(i, j)) found.push([i, j, a, b]);
      }
    }
    return found.sort((p, q) => p[0] - q[0] || p[1] - q[1]);
  }

  has(i, j) {
    return i >= 0 && i < this.H_out && j >= 0 && j < this.W_out;
  }

  map(value) {
    return upTo(this.K_h).map((a) => upTo(this.K_w).map((b) => value(a, b)));
  }

  cells(i, j, c) {
    return this.map((a, b) => this.under(i, j, a, b))
      .flat()
      .filter((cell) => cell)
      .map(([h, w]) => [h, w, c]);
  }
}

const total = (numbers) => numbers.reduce((sum, n) => sum + (n ?? 0), 0);

// Which input channels filter f sees, and which filters see channel c: all, without groups.
function groupsOf(stage) {
  const groups = stage.settings.groups;
  const perIn = stage.shapes[0][2] / groups;
  const perOut = stage.shapes[1][2] / groups;
  const { x, y } = stage;
  return {
    inputs: (f) => x.channels.filter((c) => Math.floor(c / perIn) === Math.floor(f / perOut)),
    filters: (c) => y.channels.filter((f) => Math.floor(f / perOut) === Math.floor(c / perIn)),
    place: (c) => c % perIn, // of channel c among the rows of W
  };
}

views.convolution = {
  middle({ stage, direction, xChannel, yChannel }) {
    const win = new Windows(stage);
    const { W } = stage.others;
    const group = groupsOf(stage);
    const sees = group.inputs(yChannel).includes(xChannel);
    const c = sees ? xChannel : group.inputs(yChannel)[0];
    const letter = direction === "forward" ? "W" : "dW";
    const at =
      direction === "forward"
        ? (a, b) => W.at(a, b, group.place(c), yChannel)
        : (a, b) => correlation(stage, win, a, b, c, yChannel).sum;
    return {
      letter: `${letter}[:,:,${group.place(c)},${yChannel}]`,
      tensor: new Computed([win.K_h, win.K_w], at),
      full: [win.K_h, win.K_w],
      note: sees ? null : `filter ${yChannel} does not see channel ${xChannel} (groups)`,
      c,
    };
  },

  explain(frame, side, index) {
    const { stage, direction } = frame;
    const win = new Windows(stage);
    if (side === "w") return kernelCell(frame, win, index);
    if (direction === "forward") {
      return side === "y" ? windowOf(frame, win, index) : readersOf(frame, win, index);
    }
    return side === "x" ? collected(frame, win, index) : scattered(frame, win, index);
  },
};

// forward, a cell of z: its window, the products, their sum
function windowOf({ stage, xChannel, letters }, win, [i, j, f]) {
  const { x } = stage;
  const { W, b } = stage.others;
  const group = groupsOf(stage);
  const inputs = group.inputs(f);
  const c = inputs.includes(xChannel) ? xChannel : inputs[0];
  const pixel = (a, bb, ch) => {
    const cell = win.under(i, j, a, bb);
    return cell && x.at(...cell, ch);
  };
  const weight = (a, bb, ch) => W.at(a, bb, group.place(ch), f);
  const product = (a, bb, ch) => (pixel(a, bb, ch) ?? 0) * weight(a, bb, ch);
  const sums = inputs.map((ch) => total(win.map((a, bb) => product(a, bb, ch)).flat()));
  const bias = b ? b.at(f) : 0;
  const value = stage.y.at(i, j, f);
  const sum = total(sums);
  return {
    marks: { x: win.cells(i, j, c) },
    name: at(letters[1], [i, j, f]),
    value,
    body: [
      say(
        `The window's first cell lies at row ${i * win.S_h - win.P_top}, column ` +
          `${j * win.S_w - win.P_left} of x. Each cell is multiplied by the weight at its place.`
      ),
      h(
        "div",
        { class: "products" },
        matrix(`x, channel ${c}`, win.map((a, bb) => pixel(a, bb, c))),
        sign("×"),
        matrix(`W[:,:,${group.place(c)},${f}]`, win.map((a, bb) => weight(a, bb, c))),
        sign("="),
        matrix("products", win.map((a, bb) => product(a, bb, c)))
      ),
      line(`sum over channel ${c}: ${shown(sums[inputs.indexOf(c)])}`),
      perChannel("input channel", inputs, sums, c),
      rest("the channels that are not kept", value - bias - sum, stage, inputs, "x"),
      line(
        `${at(letters[1], [i, j, f])} = ${b ? `b[${f}] + ` : ""}sum of all = ` +
          `${b ? `${shown(bias)} + ` : ""}` +
          `${signed(whole(stage, inputs, "x") ? sum : value - bias)} = ${shown(value)}`
      ),
    ],
  };
}

// forward, a cell of x: the windows that read it
function readersOf({ stage, yChannel, letters }, win, [h0, w0, c]) {
  const group = groupsOf(stage);
  const over = win.over(h0, w0);
  const f = group.filters(c).includes(yChannel) ? yChannel : group.filters(c)[0];
  const value = stage.x.at(h0, w0, c);
  return {
    marks: { y: over.map(([i, j]) => [i, j, f]) },
    name: at(letters[0], [h0, w0, c]),
    value,
    body: [
      say(`${over.length} windows of each filter hold this cell. What it adds to filter ${f}:`),
      table(
        ["to", "x × weight", "= product"],
        over.map(([i, j, a, b]) => {
          const weight = stage.others.W.at(a, b, group.place(c), f);
          const name = at("W", [a, b, group.place(c), f]);
          return [at(letters[1], [i, j, f]), named(name, weight), value * weight];
        })
      ),
    ],
  };
}

// backward, a cell of dx: what the windows send back, in both orders of summing
function collected({ stage, yChannel, letters }, win, [h0, w0, c]) {
  const { W } = stage.others;
  const dz = stage.dy;
  const dzName = `d${letters[1]}`;
  const group = groupsOf(stage);
  const filters = group.filters(c);
  const f = filters.includes(yChannel) ? yChannel : filters[0];
  const over = win.over(h0, w0);
  const weight = (a, b, g) => W.at(a, b, group.place(c), g);
  const byWindow = (g) => total(over.map(([i, j, a, b]) => dz.at(i, j, g) * weight(a, b, g)));
  // the kernel turned by half a circle: its last cell first
  const turned = (u, v, g) => weight(win.K_h - 1 - u, win.K_w - 1 - v, g);
  const under = (u, v, g) => {
    const i = (h0 + win.P_top - (win.K_h - 1 - u) * win.D_h) / win.S_h;
    const j = (w0 + win.P_left - (win.K_w - 1 - v) * win.D_w) / win.S_w;
    return Number.isInteger(i) && Number.isInteger(j) && win.has(i, j) ? dz.at(i, j, g) : null;
  };
  const byKernel = (g) => total(win.map((u, v) => (under(u, v, g) ?? 0) * turned(u, v, g)).flat());
  const value = stage.dx.at(h0, w0, c);
  const first = filters.map(byWindow);
  const second = filters.map(byKernel);
  const k = filters.indexOf(f);
  const product = win.map((u, v) => (under(u, v, f) ?? 0) * turned(u, v, f));
  const strided = win.S_h > 1 || win.S_w > 1;
  return {
    marks: { y: over.map(([i, j]) => [i, j, f]) },
    name: at(`d${letters[0]}`, [h0, w0, c]),
    value,
    body: [
      h("h4", {}, "One way: each window sends back its share"),
      say(
        `Forward, ${over.length} windows of filter ${f} multiplied this cell by one weight each. ` +
          `So each sends back its ${dzName} times that weight.`
      ),
      table(
        [dzName, "× weight", "= share"],
        over.map(([i, j, a, b]) => [
          named(at(dzName, [i, j, f]), dz.at(i, j, f)),
          named(at("W", [a, b, group.place(c), f]), weight(a, b, f)),
          dz.at(i, j, f) * weight(a, b, f),
        ])
      ),
      line(`sum for filter ${f}: ${shown(first[k])}`),
      h("h4", {}, "The other way: a full convolution with the rotated kernel"),
      say(
        "Sorted by where they come from, the same products are a window again: of ",
        `${dzName}, around this cell, padded with zeros`,
        strided ? " and with zeros between its cells, since the stride left windows out" : "",
        ". The first weight belongs to the window that lies furthest down and to the right, the ",
        "last to the one furthest up and to the left. So the kernel stands the other way round."
      ),
      h(
        "div",
        { class: "products" },
        matrix(`${dzName}, filter ${f}`, win.map((u, v) => under(u, v, f))),
        sign("×"),
        matrix(`W[:,:,${group.place(c)},${f}], rotated`, win.map((u, v) => turned(u, v, f))),
        sign("="),
        matrix("products", product)
      ),
      line(`sum for filter ${f}: ${shown(second[k])}`),
      h("h4", {}, "Both ways, over all filters"),
      perChannel("filter", filters, first, f),
      rest("the filters that are not kept", value - total(first), stage, filters, "y"),
      whole(stage, filters, "y")
        ? table(
            ["way", at(`d${letters[0]}`, [h0, w0, c])],
            [
              ["shares of the windows", total(first)],
              ["full convolution, rotated kernel", total(second)],
              ["the layer's backward", value],
            ]
          )
        : null,
    ],
    both: [total(first), total(second)],
  };
}

// backward, a cell of dz: how it spreads the kernel over its window
function scattered({ stage, xChannel, letters }, win, [i, j, f]) {
  const group = groupsOf(stage);
  const inputs = group.inputs(f);
  const c = inputs.includes(xChannel) ? xChannel : inputs[0];
  const value = stage.dy.at(i, j, f);
  const weight = (a, b) => stage.others.W.at(a, b, group.place(c), f);
  return {
    marks: { x: win.cells(i, j, c) },
    name: at(`d${letters[1]}`, [i, j, f]),
    value,
    body: [
      say(
        "This number times the kernel is added to the window that it was worked out from. Where ",
        `windows overlap, d${letters[0]} sums up what they send.`
      ),
      h(
        "div",
        { class: "products" },
        h("b", {}, shown(value)),
        sign("×"),
        matrix(`W[:,:,${group.place(c)},${f}]`, win.map(weight)),
        sign("="),
        matrix(
          `added to d${letters[0]}, channel ${c}`,
          win.map((a, b) => (win.under(i, j, a, b) ? value * weight(a, b) : null))
        )
      ),
      say("What falls into the padding is lost: there is no pixel to change."),
    ],
  };
}

// dW[a,b,c,f]: x and dz multiplied cell by cell, x moved by (a, b)
function correlation(stage, win, a, b, c, f) {
  const products = upTo(win.H_out).map((i) =>
    upTo(win.W_out).map((j) => {
      const cell = win.under(i, j, a, b);
      return (cell ? stage.x.at(...cell, c) : 0) * stage.dy.at(i, j, f);
    })
  );
  return { products, sum: total(products.flat()) };
}

function kernelCell(frame, win, [a, b]) {
  const { stage, direction, letters, yChannel: f } = frame;
  const group = groupsOf(stage);
  const c = views.convolution.middle(frame).c;
  const name = [a, b, group.place(c), f];
  const cells = upTo(win.H_out).flatMap((i) => upTo(win.W_out).map((j) => win.under(i, j, a, b)));
  const marks = { x: cells.filter((cell) => cell).map(([h0, w0]) => [h0, w0, c]) };
  if (direction === "forward") {
    return {
      marks,
      name: at("W", name),
      value: stage.others.W.at(...name),
      body: [say("As the window slides, this weight is multiplied by each of the marked cells.")],
    };
  }
  const { products, sum } = correlation(stage, win, a, b, c, f);
  const largest = Math.max(...products.flat().map(Math.abs));
  const map = new Grid({
    rows: win.H_out,
    cols: win.W_out,
    name: "products",
    value: (i, j) => products[i][j],
    label: (i, j) => shown(products[i][j]),
  });
  map.draw(largest);
  const bias = stage.others.b
    ? upTo(win.H_out).flatMap((i) => upTo(win.W_out).map((j) => stage.dy.at(i, j, f)))
    : null;
  const dz = `d${letters[1]}`;
  return {
    marks,
    name: at("dW", name),
    value: sum,
    body: [
      say(
        `The weight took part in every window, each time with another cell of x (marked). So its `,
        `gradient is the sum over all windows of that cell times the window's ${dz}: the `,
        `correlation of x and ${dz}.`
      ),
      h("div", { class: "products" }, h("figure", {}, h("figcaption", {}, "products"), map.canvas)),
      line(
        `${at("dW", name)} = sum over i,j of x[i*${win.S_h}+${a * win.D_h - win.P_top}, ` +
          `j*${win.S_w}+${b * win.D_w - win.P_left}, ${c}] * ${dz}[i,j,${f}] = ${shown(sum)}`
      ),
      bias ? line(`db[${f}] = sum over i,j of ${dz}[i,j,${f}] = ${shown(total(bias))}`) : null,
      batchNote(),
    ],
  };
}

// -- what several views say -----------------------------------------------------------------------

function perChannel(head, channels, sums, chosen) {
  if (channels.length < 2) return null;
  const rows = channels.map((c, k) => ({ cells: [String(c), sums[k]], chosen: c === chosen }));
  const list = table([head, "sum"], rows, `The same for each ${head}`);
  return h("details", {}, h("summary", {}, `The same for all ${channels.length} of them`), list);
}

// whether the page has all channels that a sum runs over
function whole(stage, kept, side) {
  const C = stage.shapes[side === "x" ? 0 : 1].at(-1);
  return kept.length === C / (stage.settings.groups || 1);
}

function rest(what, value, stage, kept, side) {
  return whole(stage, kept, side) ? null : line(`${what}, together: ${shown(value)}`);
}

function batchNote() {
  const { N } = content.model;
  if (N === 1) return null;
  return h("p", { class: "note" }, `This image's part: the batch's gradient sums ${N} of these.`);
}
