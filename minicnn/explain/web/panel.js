// An array of the picture: its name, one channel large, all channels small, and a legend.
"use strict";

class Panel {
  // onPick(index), onChannel(channel)
  constructor({ side, letter, tensor, full, note, onPick, onChannel, channel, largest }) {
    Object.assign(this, { side, letter, tensor, onPick, onChannel });
    this.layout = layoutOf(tensor);
    this.channel = channel ?? (this.layout.channels ? this.layout.channels[0] : undefined);
    const { rows, cols } = this.layout;
    this.largestOf = largest || (() => tensor.largest());
    this.grid = new Grid({
      rows,
      cols,
      name: letter,
      value: (r, c) => this.valueAt(this.layout.index(r, c, this.channel)),
      label: (r, c) => this.labelAt(r, c),
      pick: (r, c) => {
        const index = this.layout.index(r, c, this.channel);
        if (index) onPick(index);
      },
    });
    this.legend = h("p", { class: "legend" });
    this.heading = h("h3", {});
    this.element = h(
      "section",
      { class: "panel", "data-side": side, "aria-label": letter },
      this.heading,
      note ? h("p", { class: "note" }, note) : null,
      this.grid.canvas,
      this.legend,
      side !== "w" && this.layout.channels && tensor.channels.length > 1 ? this.thumbnails() : null
    );
    this.full = full;
  }

  valueAt(index) {
    return index ? this.tensor.at(...index) : null;
  }

  labelAt(r, c) {
    const index = this.layout.index(r, c, this.channel);
    return index ? `${at(this.letter, index)} = ${shown(this.valueAt(index))}` : "";
  }

  thumbnails() {
    const { rows, cols, channels } = this.layout;
    const group = h("div", {
      class: "thumbnails",
      role: "radiogroup",
      "aria-label": `channels of ${this.letter}`,
    });
    this.buttons = channels.map((channel) => {
      const canvas = h("canvas", { width: cols, height: rows, "aria-hidden": "true" });
      const image = new ImageData(cols, rows);
      const largest = this.largestOf(channel);
      for (let r = 0, n = 0; r < rows; r++) {
        for (let c = 0; c < cols; c++, n += 4) {
          image.data.set([...diverging(this.tensor.at(r, c, channel), largest), 255], n);
        }
      }
      canvas.getContext("2d").putImageData(image, 0, 0);
      return h(
        "button",
        {
          type: "button",
          role: "radio",
          title: `channel ${channel}`,
          "aria-label": `channel ${channel}`,
          "data-channel": channel,
          onclick: () => this.onChannel(channel),
        },
        canvas
      );
    });
    group.append(...this.buttons);
    group.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const k = channels.indexOf(this.channel);
      const next = (k + step + channels.length) % channels.length;
      this.buttons[next].focus();
      this.onChannel(channels[next]);
    });
    return group;
  }

  // `chosen` is an index or null, `marks` indices of any channel
  draw(chosen, marks) {
    const { layout } = this;
    const here = (index) => !layout.channelOf || layout.channelOf(index) === this.channel;
    const cells = (marks || []).filter(here).map((index) => layout.cell(index));
    this.grid.marks = cells.filter((cell) => cell);
    this.grid.chosen = chosen && here(chosen) ? layout.cell(chosen) : null;
    const largest = this.largestOf(this.channel);
    this.grid.draw(largest);
    this.legend.replaceChildren(
      h("span", { class: "scale", "aria-hidden": "true" }),
      `${shown(-largest, 3)} to ${shown(largest, 3)}, white is 0`
    );
    const sizes = this.full.join(" × ");
    const channel = layout.channels && this.full.at(-1) > 1 ? `, channel ${this.channel}` : "";
    this.heading.replaceChildren(h("b", {}, this.letter), ` (${sizes})${channel}`);
    const kept = this.tensor.channels.length;
    if (kept < this.full.at(-1)) {
      this.heading.append(h("span", { class: "kept" }, ` ${kept} of ${this.full.at(-1)} kept`));
    }
    for (const button of this.buttons || []) {
      const checked = Number(button.dataset.channel) === this.channel;
      button.setAttribute("aria-checked", checked);
      button.tabIndex = checked ? 0 : -1;
      if (checked) bringIntoView(button);
    }
  }
}

// One array of the page worked out from others, for a Panel to show.
class Computed {
  constructor(shape, at, channels) {
    Object.assign(this, { shape, at, channels: channels || upTo(shape.at(-1)), place: null });
  }

  // an image keeps one channel in view, others are read as a whole
  largest(channel) {
    const [rows, cols] = this.shape.length === 1 ? [1, this.shape[0]] : this.shape;
    let found = 0;
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < cols; c++) {
        const index = this.shape.length === 1 ? [c] : [r, c];
        if (this.shape.length === 3) index.push(channel ?? this.channels[0]);
        const size = Math.abs(this.at(...index));
        if (size > found && size < Infinity) found = size;
      }
    }
    return found;
  }
}

// The view of each kind of layer, by the name that stages.py gives it:
//   explain(frame, side, index)   what is said of the chosen cell of side "x", "y" or "w": its name
//                                 and value, the body, and the cells to mark in the panels
//   middle(frame)                 an array between x and y, side "w": a kernel, a mask
//   sameChannel                   whether channel c of y comes from channel c of x
const views = {};
