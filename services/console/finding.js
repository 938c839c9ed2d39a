// One search and the passages that it found: what an answer to the same words would draw on.

import { element, showProblem } from "./dom.js";
import { count, plural } from "./format.js";
import { passageCard } from "./passages.js";

const HARDLY = 0.1; // a score below it is shown as hardly a match
const BY = { layers: "found by the layers’ vote", words: "found by words", both: "found by the layers’ vote and by words" };

export class Search {
  #meta = element("div", { className: "entry-meta", role: "status" });
  #list = element("div", {});
  #began = performance.now();
  #open;
  citations = [];

  /** `moment`: the past that is searched, as a name. */
  constructor(query, moment, open) {
    this.#open = open;
    const head = [element("span", { className: "badge" }, "search"), " ", query];
    if (moment) head.push(" ", element("span", { className: "badge wait" }, `as of ${moment}`));
    this.node = element("article", { className: "entry search", "aria-busy": "true" }, element("h2", {}, ...head), this.#meta, this.#list);
  }

  finish(found) {
    this.#done();
    this.citations = found.results;
    const texts = [plural(found.results.length, "passage"), BY[found.votes], `${Math.round(performance.now() - this.#began)} ms`, `step ${count(found.step)}`];
    if (found.waiting) texts.push(`${plural(found.waiting, "step")} still waiting`);
    this.#meta.replaceChildren(...texts.map((text) => element("span", {}, text)));
    const cards = found.results.map((hit, index) => element("li", {}, this.#card(hit, index)));
    this.#list.replaceChildren(cards.length ? element("ol", { className: "sources" }, ...cards) : element("p", { className: "quiet" }, "Nothing is memorized that could be found."));
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

  #card(hit, index) {
    const { vote, words } = hit.why;
    const sure = hit.score === null ? [`vote ${vote.toFixed(1)}`] : [`${Math.round(100 * hit.score)} % likely`];
    const figure = element("span", { title: `Vote ${vote.toFixed(2)}${words.length ? `; words: ${words.join(", ")}` : ""}` }, [...sure, `step ${count(hit.step)}`].join(" · "));
    const card = passageCard(hit, index, figure, this.#open);
    card.classList.toggle("faint", hit.score !== null && hit.score < HARDLY);
    if (words.length) card.append(element("span", { className: "found-words quiet small" }, words.join(" · ")));
    return card;
  }
}
