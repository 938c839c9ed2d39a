// One search and the passages that it found: what an answer to the same words would draw on.

import { announce, element, showProblem } from "../base/dom.js";
import { count, plural } from "../base/format.js";
import { hardlyMatches, passageCard } from "./passages.js";

const BY = { layers: "found by the layers’ vote", words: "found by words", both: "found by the layers’ vote and by words" };

export class Search {
  #meta = element("div", { className: "entry-meta" });
  #list = element("div", {});
  #began = performance.now();
  #open;
  citations = [];

  /** `about`: elements that say which past and which documents are searched. */
  constructor(query, about, open) {
    this.#open = open;
    const head = element("h2", {}, element("span", { className: "badge" }, "search"), " ", query, ...about);
    this.node = element("article", { className: "entry search", "aria-busy": "true" }, head, this.#meta, this.#list);
  }

  finish(found) {
    this.#done();
    this.citations = found.results;
    const texts = [plural(found.results.length, "passage"), BY[found.votes], `${Math.round(performance.now() - this.#began)} ms`, `step ${count(found.step)}`];
    if (found.waiting) texts.push(`${plural(found.waiting, "step")} still waiting`);
    this.#meta.replaceChildren(...texts.map((text) => element("span", {}, text)));
    announce(`${plural(found.results.length, "passage")} found.`);
    const list = element("ol", { className: "sources" }, ...found.results.map((hit, index) => element("li", {}, passageCard(hit, index, this.#open))));
    this.#list.replaceChildren(found.results.length ? list : element("p", { className: "quiet" }, "Nothing is memorized that could be found."));
    if (found.results.length && found.results.every(hardlyMatches)) {
      this.#list.prepend(element("p", { className: "sources-head quiet" }, "Nothing matches well. The nearest passages:"));
    }
  }

  stop() {
    this.#done();
    this.#meta.replaceChildren(element("span", { className: "badge" }, "stopped"));
  }

  fail(problem) {
    this.#done();
    this.#meta.replaceChildren();
    showProblem(this.#list, problem);
  }

  #done() {
    this.node.setAttribute("aria-busy", "false");
  }
}
