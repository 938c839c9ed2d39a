// The question box: asks with streaming or searches, one at a time, and stops when told to.

import { Problem } from "../base/api.js";
import { announce, byId, element } from "../base/dom.js";
import { Entry } from "./answers.js";
import { Filters } from "./filters.js";
import { Search } from "./finding.js";
import { askOptions, composed, searchOptions, showOptions } from "./options.js";

export class Asking {
  #api;
  #band;
  #open;
  #filters = new Filters();
  #running = null;
  #last = null;
  #asked = "";

  constructor(api, band, open) {
    this.#api = api;
    this.#band = band;
    this.#open = open;
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask();
    });
    byId("question").addEventListener("keydown", (event) => {
      if (event.key === "ArrowUp" && !event.target.value) event.target.value = this.#asked;
      else if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      else if (event.ctrlKey || event.metaKey) this.#find();
      else byId("composer").requestSubmit();
      event.preventDefault();
    });
    byId("find").addEventListener("click", () => this.#find());
    byId("stop").addEventListener("click", () => this.stop());
    byId("options-toggle").addEventListener("click", () => showOptions());
    byId("as-of-time").addEventListener("change", (event) => {
      const { value } = event.target;
      if (value) band.goToTime(new Date(value));
      else band.goTo(null);
    });
  }

  /** Returns whether there was something to stop. */
  stop() {
    const running = this.#running;
    running?.abort();
    return running !== null;
  }

  openPassage(index) {
    const citation = this.#last?.citations[index];
    if (citation) this.#open(citation.document_id, citation.step);
  }

  async #ask() {
    const question = this.#words();
    if (!question) return;
    const body = { question, ...askOptions(), stream: true, ...this.#band.asOf.fields, ...this.#filters.fields };
    const anyway = () => this.#askAnyway(entry, body);
    const entry = new Entry(question, this.#about(), body.citations, { open: this.#open, anyway });
    this.#begin(entry, question);
    await this.#run(entry, () => this.#stream(entry, body));
  }

  /** The same question, whatever the model's confidence is. */
  async #askAnyway(entry, body) {
    if (this.#running) return;
    entry.begin(true);
    this.#last = entry;
    byId("question").focus(); // the button that had the focus is gone
    await this.#run(entry, () => this.#stream(entry, { ...body, threshold: 0 }));
  }

  async #find() {
    const query = this.#words();
    if (!query) return;
    const body = { query, ...searchOptions(), ...this.#band.asOf.fields, ...this.#filters.fields };
    const entry = new Search(query, this.#about(), this.#open);
    this.#begin(entry, query);
    await this.#run(entry, async () => {
      const found = await this.#api.post("v1/search", { body, signal: this.#running.signal });
      entry.finish(found);
      this.#band.cite(found.results);
    });
  }

  /** What is in the box; "" if it cannot be asked now. */
  #words() {
    const words = byId("question").value.trim();
    if (!words) byId("question").value = ""; // blanks alone are nothing
    return composed() && !this.#running ? words : "";
  }

  /** Which past and which documents are asked, for an entry's head. */
  #about() {
    const said = [this.#band.asOf.name && `as of ${this.#band.asOf.name}`, this.#filters.name && `only ${this.#filters.name}`];
    return said.filter(Boolean).flatMap((text) => [" ", element("span", { className: "badge wait about" }, text)]);
  }

  #begin(entry, words) {
    this.#last = entry;
    this.#asked = words;
    this.#band.cite([]);
    byId("answers-empty").hidden = true;
    byId("answers").prepend(entry.node);
    byId("question").value = "";
  }

  async #stream(entry, body) {
    let answered = false;
    for await (const [name, data] of this.#api.stream("v1/query", body, this.#running.signal)) {
      if (name === "token") entry.token(data.text);
      if (name === "error") throw Problem.from(data.status, data);
      if (name !== "answer") continue;
      answered = true;
      entry.finish(data);
      this.#band.cite(data.citations);
    }
    if (!answered) throw Problem.from(0, { title: "The answer broke off" });
  }

  /** Work on an entry until it is done, stopped or failed. */
  async #run(entry, work) {
    this.#running = new AbortController();
    this.#busy(true);
    announce("Looking through memory.");
    try {
      await work();
    } catch (problem) {
      const stopped = problem.name === "AbortError";
      const known = problem instanceof Problem;
      if (stopped) entry.stop();
      else entry.fail(known ? problem : Problem.from(0, { title: "The answer cannot be read" }));
      announce(stopped ? "Stopped." : `No answer. ${problem.message}`);
      if (!stopped && !known) reportError(problem);
    } finally {
      this.#running = null;
      this.#busy(false);
    }
  }

  #busy(busy) {
    const hadFocus = ["stop", "ask", "find"].includes(document.activeElement?.id);
    byId("stop").hidden = !busy;
    byId("ask").hidden = byId("find").hidden = busy;
    if (hadFocus) byId(busy ? "stop" : "ask").focus();
  }
}
