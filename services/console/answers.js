// One question and what came of it, from the first word to its passages.

import { element, showProblem } from "./dom.js";
import { count, plural } from "./format.js";
import { passageCard } from "./passages.js";

export class Entry {
  #answer = element("p", { className: "answer", "aria-live": "polite" });
  #meta = element("div", { className: "entry-meta" });
  #sources = element("div", {});
  #began = performance.now();
  #first = null;
  #open;
  citations = [];

  /** `expected`: how many passages were asked for; their room is kept free. `moment`: the past it is asked as of. */
  constructor(question, moment, expected, open) {
    this.#open = open;
    const asked = [question];
    if (moment) asked.push(" ", element("span", { className: "badge wait" }, `as of ${moment}`));
    this.node = element("article", { className: "entry", "aria-busy": "true" }, element("h2", {}, ...asked), this.#answer, this.#meta, this.#sources);
    const rooms = Array.from({ length: Math.min(expected, 3) }, () => element("div", { className: "card source waiting" }));
    this.#sources.append(element("div", { className: "sources-head quiet" }, "Looking through memory …"), element("div", { className: "sources", "aria-hidden": "true" }, ...rooms));
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
    this.#sources.replaceChildren(...this.#passages(answer));
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
    if (answer.abstained) figures.push(element("span", { className: "badge wait" }, "did not answer"));
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

  #passages(answer) {
    if (!answer.citations.length) return [];
    const said = answer.abstained ? "Its confidence was below the tenant’s threshold. The nearest passages:" : "Drawn from";
    const best = Math.max(...answer.citations.map((citation) => citation.score));
    const list = answer.citations.map((citation, index) => element("li", {}, this.#source(citation, index, best)));
    const note = element("span", { title: "The retrieval voted for these passages. That is attribution, not proof." }, "attribution, not proof");
    return [element("div", { className: "sources-head quiet" }, element("span", {}, said), note), element("ol", { className: "sources" }, ...list)];
  }

  #source(citation, index, best) {
    const share = best > 0 ? `${Math.round((100 * citation.score) / best)} % of the best` : "";
    const figure = element("span", { title: `Score ${citation.score.toFixed(3)}; ${share}` }, `step ${count(citation.step)}`);
    return passageCard(citation, index, figure, this.#open);
  }
}
