// One question and what came of it, from the first word to its passages.

import { announce, element, showProblem } from "../base/dom.js";
import { count, plural } from "../base/format.js";
import { hardlyMatches, passageCard } from "./passages.js";

const ROOMS = 3; // passages whose room is kept free

export class Entry {
  #answer = element("p", { className: "answer" });
  #meta = element("div", { className: "entry-meta" });
  #sources = element("div", {});
  #began = 0;
  #first = null;
  #expected;
  #open;
  #anyway;
  #overruled = false;
  citations = [];

  /**
   * `about`: elements that say which past and which documents are asked; `expected`: how many passages were asked for;
   * `anyway`: called when an answer that was withheld is wanted all the same.
   */
  constructor(question, about, expected, { open, anyway }) {
    this.#expected = expected;
    this.#open = open;
    this.#anyway = anyway;
    this.node = element("article", { className: "entry" }, element("h2", {}, question, ...about), this.#answer, this.#meta, this.#sources);
    this.begin();
  }

  /** Also for another time, with the threshold overruled. */
  begin(overruled = false) {
    this.#overruled = overruled;
    this.#began = performance.now();
    this.#first = null;
    this.node.setAttribute("aria-busy", "true");
    this.node.classList.remove("abstained");
    this.#answer.replaceChildren();
    this.#meta.replaceChildren();
    const rooms = Array.from({ length: Math.min(this.#expected, ROOMS) }, () => element("div", { className: "card source waiting" }));
    const head = element("div", { className: "sources-head quiet" }, "Looking through memory …");
    this.#sources.replaceChildren(head, element("div", { className: "sources", "aria-hidden": "true" }, ...rooms));
  }

  token(text) {
    this.#first ??= performance.now();
    this.#answer.append(text);
  }

  /** The whole answer; a refusal takes the place of the words that came before it. */
  finish(answer) {
    this.#done();
    this.#answer.textContent = answer.answer.trim();
    this.node.classList.toggle("abstained", answer.abstained);
    this.citations = answer.citations;
    this.#meta.replaceChildren(...this.#figures(answer));
    this.#sources.replaceChildren(...this.#withheld(answer), ...this.#passages(answer));
    announce(`${answer.abstained ? "Withheld. " : ""}${answer.answer.trim()} ${plural(answer.citations.length, "passage")}.`);
  }

  stop() {
    this.#done();
    this.#meta.replaceChildren(element("span", { className: "badge" }, "stopped"));
    this.#sources.replaceChildren();
  }

  fail(problem) {
    this.#done();
    this.#answer.replaceChildren();
    this.#meta.replaceChildren();
    showProblem(this.#sources, problem);
  }

  #done() {
    this.node.setAttribute("aria-busy", "false");
  }

  #figures(answer) {
    const { confidence, usage } = answer;
    const figures = [];
    if (answer.abstained) figures.push(element("span", { className: "badge wait" }, "withheld"));
    if (this.#overruled) figures.push(element("span", { className: "badge wait" }, "shown although it was withheld"));
    if (confidence !== null) {
      const percent = `${Math.round(100 * confidence)} %`;
      const meter = element("meter", { min: 0, max: 1, value: confidence, "aria-label": "Confidence" }, percent);
      figures.push(element("span", { className: "confidence", title: "How sure the model is that memory has what was asked" }, meter, `${percent} confident`));
    }
    const seconds = (performance.now() - this.#began) / 1000;
    const to = this.#first === null ? "" : `, first word after ${Math.round(this.#first - this.#began)} ms`;
    const texts = [`${seconds.toFixed(1)} s${to}`, plural(usage.completion_tokens, "token"), `${count(usage.memory_rows)} rows a layer`, `after step ${count(answer.step)}`];
    if (answer.waiting) texts.push(`${plural(answer.waiting, "step")} still waiting`);
    if (answer.finish_reason === "length") texts.push("cut at the longest answer");
    return [...figures, ...texts.map((text) => element("span", {}, text))];
  }

  #withheld(answer) {
    if (!answer.abstained) return [];
    const why = answer.usage.memory_rows
      ? "The model has an answer, and is less sure of it than this memory asks for."
      : "Nothing was there to draw on: nothing is memorized yet, or no memorized document fits the options.";
    const show = element("button", { className: "anyway", type: "button", onclick: () => this.#anyway() }, "Show it anyway");
    return [element("p", { className: "withheld" }, element("span", { className: "quiet" }, why), show)];
  }

  #passages(answer) {
    const { citations } = answer;
    if (!citations.length) return [];
    const list = citations.map((citation, index) => element("li", {}, passageCard(citation, index, this.#open)));
    const note = element("span", { title: "The retrieval voted for these passages. That is attribution, not proof." }, "attribution, not proof");
    const head = element("div", { className: "sources-head quiet" }, element("span", {}, drawnFrom(answer)), note);
    return [head, element("ol", { className: "sources" }, ...list)];
  }
}

function drawnFrom({ abstained, citations }) {
  if (citations.every(hardlyMatches)) return "Nothing in memory matches well. The nearest passages:";
  return abstained ? "The nearest passages:" : "Drawn from";
}
