// The memory drawn: a column for some steps, a row for each layer, filled by what became of the rows.

import { element, shape } from "../base/dom.js";
import { count, steps } from "../base/format.js";

/** The columns of the API's map: the rows of steps first_step … end_step - 1, per layer. */
export function columnsOf(map) {
  const of = (tier, bucket) => tier.map((layer) => layer[bucket]);
  return Array.from({ length: map.buckets }, (_, bucket) => ({
    first_step: bucket * map.bucket,
    end_step: Math.min((bucket + 1) * map.bucket, map.step),
    pool: of(map.pool, bucket),
    long_term: of(map.long_term, bucket),
    gone: of(map.gone, bucket),
  }));
}

/** Drawn in units of one column by one layer and stretched to its box. */
export class Picture {
  #box;
  #svg;
  #cursor;
  #later;
  #lit;
  #hits;
  map = { step: 0, layers: 0, buckets: [] };

  constructor(box) {
    this.#box = box;
  }

  get columns() {
    return this.map.buckets.length;
  }

  draw(map) {
    this.map = map;
    const { layers, buckets } = map;
    this.#svg = shape("svg", { viewBox: `0 0 ${Math.max(1, buckets.length)} ${Math.max(1, layers)}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    for (let layer = 0; layer < layers; layer += 1) this.#svg.append(...drawLayer(buckets, layer, layers));
    for (let layer = 1; layer < layers && layers <= 16; layer += 1) {
      this.#svg.append(shape("line", { class: "rule", x1: 0, x2: buckets.length, y1: layer, y2: layer }));
    }
    this.#hits = shape("g");
    this.#later = shape("rect", { class: "later", y: 0, height: layers, width: 0 });
    this.#lit = shape("rect", { class: "lit", y: 0, height: layers, visibility: "hidden" });
    this.#cursor = shape("rect", { class: "cursor", width: 1, height: 1, visibility: "hidden" });
    this.#svg.append(this.#later, this.#hits, this.#lit, this.#cursor);
    this.#box.replaceChildren(this.#svg);
  }

  /** Where a step's middle is, as a share of the width. */
  place(step) {
    const column = this.column(step);
    if (column < 0) return 0;
    const { first_step: first, end_step: end } = this.map.buckets[column];
    return (column + (step - first + 0.5) / (end - first)) / this.columns;
  }

  /** The column of a step, -1 if none has it. */
  column(step) {
    return this.map.buckets.findIndex((bucket) => bucket.first_step <= step && step < bucket.end_step);
  }

  hit(drawnFrom) {
    const lines = drawnFrom.map((step) => {
      const x = this.place(step) * this.columns;
      return shape("line", { class: "hit", x1: x, x2: x, y1: 0, y2: this.map.layers });
    });
    this.#hits?.replaceChildren(...lines);
  }

  /** Veil what came after `step`; null: nothing. */
  veil(step) {
    const x = step === null || step >= this.map.step ? this.columns : this.edge(step) * this.columns;
    this.#later?.setAttribute("x", x);
    this.#later?.setAttribute("width", this.columns - x);
  }

  /** Where a step begins, as a share of the width. */
  edge(step) {
    if (step >= this.map.step) return 1;
    const column = this.column(step);
    if (column < 0) return 0;
    const { first_step: first, end_step: end } = this.map.buckets[column];
    return (column + (step - first) / (end - first)) / this.columns;
  }

  /** Frame the steps of a document; null: none. */
  light(range) {
    this.#lit?.setAttribute("visibility", range ? "visible" : "hidden");
    if (!range) return;
    const [from, to] = range.map((step) => this.edge(step) * this.columns);
    this.#lit?.setAttribute("x", from);
    this.#lit?.setAttribute("width", Math.max(to - from, this.columns / 400));
  }

  point(column, layer) {
    this.#cursor.setAttribute("visibility", column < 0 ? "hidden" : "visible");
    this.#cursor.setAttribute("x", column);
    this.#cursor.setAttribute("y", this.map.layers - 1 - layer);
  }
}

/** One layer, layer 0 at the bottom: the long-term rows' share of each column, the pool's above it. */
function drawLayer(buckets, layer, layers) {
  const bottom = layers - layer;
  const share = (bucket, ...tiers) => {
    const all = bucket.pool[layer] + bucket.long_term[layer] + bucket.gone[layer];
    return all ? tiers.reduce((rows, tier) => rows + bucket[tier][layer], 0) / all : 0;
  };
  const area = (name, ...tiers) => {
    const tops = buckets.map((bucket, column) => `V${bottom - share(bucket, ...tiers)}H${column + 1}`);
    return shape("path", { class: name, "data-layer": layer, d: `M0 ${bottom}${tops.join("")}V${bottom}Z` });
  };
  return [area("pool", "long_term", "pool"), area("long", "long_term")];
}

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

/** A column in words, of one layer and of all. */
export function describe(bucket, layer, title) {
  const where = `Step${bucket.end_step - bucket.first_step > 1 ? "s" : ""} ${steps(bucket.first_step, bucket.end_step)}`;
  const of = (rows, name) => `${count(rows)} ${name}`;
  const parts = [["pool", "in the pool"], ["long_term", "long-term"], ["gone", "gone"]];
  const here = parts.map(([key, name]) => of(bucket[key][layer], name)).join(", ");
  const all = parts.map(([key, name]) => of(sum(bucket[key]), name)).join(", ");
  return `${where}${title ? `, ${title}` : ""}. Layer ${layer + 1}: ${here}. All layers: ${all}.`;
}

/** The same for the eye: a small table in which the layer pointed at stands out. */
export function detailOf(bucket, layer, title) {
  const where = `Step${bucket.end_step - bucket.first_step > 1 ? "s" : ""} ${steps(bucket.first_step, bucket.end_step)}`;
  const table = element("dl", {}, ...["", "pool", "long-term", "gone"].map((text) => element("dt", { className: "head" }, text)));
  const line = (name, numbers, className) =>
    table.append(element("dt", { className }, name), ...numbers.map((number) => element("dd", { className }, count(number))));
  const numbers = (layer) => [bucket.pool[layer], bucket.long_term[layer], bucket.gone[layer]];
  const layers = bucket.pool.length;
  for (let shown = layers - 1; shown >= 0; shown -= 1) {
    if (layers <= 8 || shown === layer) line(`layer ${shown + 1}`, numbers(shown), shown === layer ? "here" : "");
  }
  line("all", [sum(bucket.pool), sum(bucket.long_term), sum(bucket.gone)], "");
  return [element("strong", {}, title ? `${where} · ${title}` : where), table];
}

/** Every column as a row of a table. */
export function tableOf(map) {
  const names = Array.from({ length: map.layers }, (_, layer) => `layer ${layer + 1}: pool / long-term / gone`);
  const head = element("tr", {}, element("th", { scope: "col" }, "steps"), ...names.map((name) => element("th", { scope: "col" }, name)));
  const rows = map.buckets.map((bucket) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, steps(bucket.first_step, bucket.end_step)),
      ...names.map((_, layer) => element("td", {}, [bucket.pool[layer], bucket.long_term[layer], bucket.gone[layer]].map(count).join(" / "))),
    ),
  );
  return element("table", {}, element("caption", { className: "hidden" }, "Rows of memory by steps and layers"), element("thead", {}, head), element("tbody", {}, ...rows));
}
