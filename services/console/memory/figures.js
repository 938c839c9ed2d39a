// The memory view: figures, the picture as a table, and snapshots.

import { factCard } from "../base/cards.js";
import { byId, element, showProblem } from "../base/dom.js";
import { bytes, count, fullTime, plural } from "../base/format.js";
import { tableOf } from "./picture.js";

const limit = (value) => (value === null ? "none" : count(value));

/** Cards with what `GET /v1/memory` says. */
function cards(memory) {
  const { rows, bytes: size, quotas, limits } = memory;
  return [
    factCard("Steps memorized", count(memory.step), [
      ["documents", count(memory.documents)],
      ["steps waiting", count(memory.waiting)],
      ["rows a step and layer", count(memory.rows_per_step)],
      ["model", memory.model],
    ]),
    factCard(`Rows over ${plural(memory.layers, "layer")}`, count(rows.pool + rows.long_term), [
      ["in the pool, read always", count(rows.pool)],
      ["long-term, retrieved", count(rows.long_term)],
      ["gone", count(rows.forgotten)],
      ["a full pool, a layer", count(memory.pool_rows)],
    ]),
    factCard("Size", bytes(memory.stored_bytes), [
      ["pool", bytes(size.pool)],
      ["long-term", bytes(size.long_term)],
      ["at most", quotas.max_bytes === null ? "no limit" : bytes(quotas.max_bytes)],
      ["precision", memory.precision],
    ]),
    factCard("Questions at once", limit(limits.concurrent_questions), [
      ["documents a minute", limit(limits.documents_per_minute)],
      ["tokens a minute", limit(limits.tokens_per_minute)],
      ["documents at most", limit(quotas.max_documents)],
      ["least confidence", limits.threshold === null ? "the model’s own" : String(limits.threshold)],
    ]),
  ];
}

export class Figures {
  #api;
  #watch;
  #band;
  #mayManage;

  constructor(api, watch, band, mayManage) {
    this.#api = api;
    this.#watch = watch;
    this.#band = band;
    this.#mayManage = mayManage;
    byId("snapshot-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#take(byId("snapshot-name").value.trim());
    });
    byId("table-details").addEventListener("toggle", () => this.#showTable());
    watch.addEventListener("memory", () => this.#showFigures());
    band.addEventListener("drawn", () => this.#showTable());
    byId("snapshot-form").hidden = !mayManage;
  }

  /** The view was opened. */
  refresh() {
    this.#showFigures();
    this.#showTable();
    return this.#showSnapshots();
  }

  #showFigures() {
    if (!byId("view-memory").hidden && this.#watch.memory) byId("memory-facts").replaceChildren(...cards(this.#watch.memory));
  }

  #showTable() {
    if (byId("table-details").open) byId("picture-table").replaceChildren(tableOf(this.#band.map));
  }

  async #take(name) {
    const { step } = this.#band.asOf;
    await this.#change(() => this.#api.post("v1/memory/snapshot", { body: step === undefined || step === null ? { name } : { name, step } }));
    byId("snapshot-form").reset();
  }

  async #change(request) {
    try {
      await request();
      byId("snapshot-problem").replaceChildren();
    } catch (problem) {
      showProblem(byId("snapshot-problem"), problem);
      return;
    }
    await this.#showSnapshots();
  }

  async #showSnapshots() {
    try {
      const { snapshots } = await this.#api.get("v1/memory/snapshots");
      byId("snapshots").replaceChildren(...snapshots.map((one) => this.#snapshot(one)));
    } catch (problem) {
      showProblem(byId("snapshot-problem"), problem);
    }
  }

  #snapshot({ name, step, created }) {
    const ask = () => {
      this.#band.goTo(step, name);
      location.hash = "ask";
    };
    const remove = () => this.#change(() => this.#api.remove(`v1/memory/snapshots/${encodeURIComponent(name)}`));
    const actions = [element("button", { className: "plain small", type: "button", "aria-label": `Ask as of ${name}`, onclick: ask }, "Ask as of it")];
    if (this.#mayManage) {
      actions.push(element("button", { className: "plain danger small", type: "button", "aria-label": `Delete the snapshot ${name}`, onclick: remove }, "Delete"));
    }
    return element("li", {}, element("b", {}, name), element("span", { className: "quiet" }, `after ${plural(step, "step")}, ${fullTime(created)}`), element("span", { className: "spring" }), ...actions);
  }
}
