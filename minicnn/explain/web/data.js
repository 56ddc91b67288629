// The numbers of the page. Arrays are base64 of float32, decoded when they are first looked at:
// those of a deeper model take a noticeable part of a second together.
"use strict";

const content = JSON.parse(document.getElementById("content").textContent);
const decoded = new Map();

function numbers(k) {
  if (!decoded.has(k)) {
    const text = atob(content.arrays[k]);
    const bytes = new Uint8Array(text.length);
    for (let n = 0; n < text.length; n++) bytes[n] = text.charCodeAt(n);
    const view = new DataView(bytes.buffer);
    const values = new Float32Array(bytes.length / 4);
    for (let n = 0; n < values.length; n++) values[n] = view.getFloat32(4 * n, true);
    decoded.set(k, values);
  }
  return decoded.get(k);
}

// An array of any number of axes. A page of a large model holds some channels alone (`keep`, the
// numbers of those on the last axis; `keep_in`, on the axis before it); indices are always those
// of the whole array, and what is not held is undefined.
class Tensor {
  constructor(entry) {
    this.shape = entry.shape;
    this.entry = entry;
    this.channels = entry.keep || upTo(this.shape.at(-1) ?? 1);
    this.channelsIn = entry.keep_in || upTo(this.shape.at(-2) ?? 1);
    this.place = entry.keep && new Map(entry.keep.map((c, k) => [c, k]));
    this.placeIn = entry.keep_in && new Map(entry.keep_in.map((c, k) => [c, k]));
  }

  get values() {
    return numbers(this.entry.data);
  }

  at(...index) {
    const last = index.length - 1;
    let flat = 0;
    for (let axis = 0; axis <= last; axis++) {
      let k = index[axis];
      if (axis === last && this.place) k = this.place.get(k);
      if (axis === last - 1 && this.placeIn) k = this.placeIn.get(k);
      if (k === undefined) return undefined;
      flat = flat * this.shape[axis] + k;
    }
    return this.values[flat];
  }

  has(c) {
    return this.place ? this.place.has(c) : c >= 0 && c < this.shape.at(-1);
  }

  // the largest |value| of a channel, or of all
  largest(channel) {
    const C = this.shape.at(-1) ?? 1;
    const k = channel === undefined ? -1 : this.place ? this.place.get(channel) : channel;
    let found = 0;
    for (let n = k < 0 ? 0 : k; n < this.values.length; n += k < 0 ? 1 : C) {
      const size = Math.abs(this.values[n]);
      if (size > found && size < Infinity) found = size;
    }
    return found;
  }
}

function upTo(n) {
  return Array.from({ length: n }, (_, k) => k);
}

function tensorOf(entry) {
  return entry ? new Tensor(entry) : null;
}

const stages = content.stages.map((stage) => ({
  ...stage,
  x: tensorOf(stage.x),
  y: tensorOf(stage.y),
  dx: tensorOf(stage.dx),
  dy: tensorOf(stage.dy),
  others: Object.fromEntries(
    Object.entries(stage.others).map(([name, entry]) => [name, tensorOf(entry)])
  ),
}));

function className(k) {
  const names = content.model.class_names;
  return names ? names[k] : `class ${k}`;
}
