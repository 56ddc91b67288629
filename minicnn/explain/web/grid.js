// A heat map on a canvas: cells to click, or to reach with the arrow keys.
"use strict";

// How an array is laid out in rows and columns, channel by channel.
//   (H, W, C)   an image for each channel
//   (units,)    one row if there are few, else a block, row after row
//   others      the leading axes as rows, the last one as columns
function layoutOf(tensor) {
  const shape = tensor.shape;
  const place = (list, value) => (tensor.place ? tensor.place.get(value) ?? -1 : value);
  if (shape.length === 3) {
    return {
      rows: shape[0],
      cols: shape[1],
      channels: tensor.channels,
      index: (r, c, channel) => [r, c, channel],
      cell: (index) => [index[0], index[1]],
      channelOf: (index) => index[2],
    };
  }
  if (shape.length <= 1) {
    const units = tensor.channels;
    const cols = units.length <= 16 ? units.length : Math.ceil(Math.sqrt(units.length));
    return {
      rows: Math.ceil(units.length / cols),
      cols,
      channels: null,
      index: (r, c) => (r * cols + c < units.length ? [units[r * cols + c]] : null),
      cell: (index) => {
        const k = place(units, index[0]);
        return k < 0 ? null : [Math.floor(k / cols), k % cols];
      },
    };
  }
  const leading = shape.slice(0, -1);
  const split = (r) => {
    const index = [];
    for (let axis = leading.length - 1; axis >= 0; axis--) {
      index.unshift(r % leading[axis]);
      r = Math.floor(r / leading[axis]);
    }
    return index;
  };
  return {
    rows: leading.reduce((a, b) => a * b, 1),
    cols: shape.at(-1),
    channels: null,
    index: (r, c) => [...split(r), tensor.channels[c]],
    cell: (index) => {
      const k = place(tensor.channels, index.at(-1));
      if (k < 0) return null;
      return [index.slice(0, -1).reduce((r, n, axis) => r * leading[axis] + n, 0), k];
    },
  };
}

class Grid {
  // value(r, c) -> number, or null where there is no cell; label(r, c) -> text; pick(r, c) is
  // called for a chosen cell
  constructor({ rows, cols, value, label, pick, name, scale }) {
    Object.assign(this, { rows, cols, value, label, pick, scale: scale || diverging });
    this.marks = [];
    this.chosen = null;
    // as many dots as a cell needs to stay sharp, and no canvas beyond what browsers allow
    this.dots = Math.max(1, Math.min(32, Math.floor(640 / Math.max(rows, cols))));
    this.canvas = h("canvas", {
      class: "grid",
      width: cols * this.dots,
      height: rows * this.dots,
      tabindex: pick ? 0 : null,
      role: pick ? "application" : "img",
      "aria-roledescription": pick ? "heat map" : null,
      "aria-label": `${name}, ${rows} rows and ${cols} columns${
        pick ? ". Arrow keys choose a cell" : ""
      }`,
      "data-rows": rows,
      "data-cols": cols,
      style: `aspect-ratio:${cols}/${rows}`,
    });
    if (pick) {
      this.canvas.addEventListener("click", (event) => this.clicked(event));
      this.canvas.addEventListener("keydown", (event) => this.pressed(event));
      this.canvas.addEventListener("mousemove", (event) => {
        const [r, c] = this.cellAt(event);
        this.canvas.title = this.label(r, c) || "";
      });
    }
  }

  cellAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const within = (n, most) => Math.max(0, Math.min(most - 1, Math.floor(n)));
    return [
      within(((event.clientY - box.top) / box.height) * this.rows, this.rows),
      within(((event.clientX - box.left) / box.width) * this.cols, this.cols),
    ];
  }

  clicked(event) {
    this.pick(...this.cellAt(event));
  }

  pressed(event) {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const ends = { Home: [0, -this.cols], End: [0, this.cols] };
    const [dr, dc] = step[event.key] || ends[event.key] || [];
    if (dr === undefined) return;
    event.preventDefault();
    const [r, c] = this.chosen || [0, 0];
    const within = (n, most) => Math.max(0, Math.min(most - 1, n));
    this.pick(within(r + dr, this.rows), within(c + dc, this.cols));
  }

  // `largest` is the number that has the full colour
  draw(largest) {
    const { canvas, dots } = this;
    const pen = canvas.getContext("2d");
    const small = new ImageData(this.cols, this.rows);
    for (let r = 0, n = 0; r < this.rows; r++) {
      for (let c = 0; c < this.cols; c++, n += 4) {
        const value = this.value(r, c);
        if (value === null) continue; // the rest of a vector's last row
        small.data.set([...this.scale(value, largest), 255], n);
      }
    }
    const buffer = document.createElement("canvas");
    buffer.width = this.cols;
    buffer.height = this.rows;
    buffer.getContext("2d").putImageData(small, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(buffer, 0, 0, canvas.width, canvas.height);
    if (dots >= 8 && this.rows * this.cols > 1) this.lines(pen);
    const thin = Math.min(3, Math.max(1, dots / 12));
    for (const [r, c] of this.marks) this.frame(pen, r, c, "#7b3294", thin);
    if (this.chosen) this.frame(pen, ...this.chosen, "#000", Math.min(4, Math.max(2, dots / 7)));
  }

  lines(pen) {
    pen.strokeStyle = "rgba(0,0,0,.12)";
    pen.lineWidth = 1;
    pen.beginPath();
    for (let r = 1; r < this.rows; r++) {
      pen.moveTo(0, r * this.dots);
      pen.lineTo(this.canvas.width, r * this.dots);
    }
    for (let c = 1; c < this.cols; c++) {
      pen.moveTo(c * this.dots, 0);
      pen.lineTo(c * this.dots, this.canvas.height);
    }
    pen.stroke();
  }

  frame(pen, r, c, colour, width) {
    pen.strokeStyle = "#fff"; // a light rim, so that the frame shows on any colour
    pen.lineWidth = width + 2;
    const half = width / 2 + 1;
    const box = [c * this.dots + half, r * this.dots + half];
    const side = Math.max(1, this.dots - 2 * half);
    pen.strokeRect(...box, side, side);
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.strokeRect(...box, side, side);
  }
}
