// The question box: asks with streaming or searches, one at a time, and stops when told to.

import { Problem } from "./api.js";
import { Entry } from "./answers.js";
import { announce, byId } from "./dom.js";
import { Search } from "./finding.js";

const FOUND = 10; // passages of a search

export class Asking {
  #api;
  #band;
  #open;
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
    byId("options-toggle").addEventListener("click", () => {
      const open = byId("options").hidden;
      byId("options").hidden = !open;
      byId("options-toggle").setAttribute("aria-expanded", open);
    });
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
    const question = byId("question").value.trim();
    if (!question || this.#running) return;
    const temperature = byId("temperature").valueAsNumber || 0;
    const citations = byId("citations").valueAsNumber || 0;
    const { fields, name } = this.#band.asOf;
    const body = { question, max_tokens: byId("max-tokens").valueAsNumber || 64, temperature, citations, stream: true, ...fields };
    if (temperature > 0) body.seed = crypto.getRandomValues(new Uint32Array(1))[0]; // another draw each time
    const entry = new Entry(question, name, citations, this.#open);
    this.#begin(entry, question);
    await this.#run(entry, () => this.#stream(entry, body));
  }

  async #find() {
    const query = byId("question").value.trim();
    if (!query) byId("composer").reportValidity();
    if (!query || this.#running) return;
    const { fields, name } = this.#band.asOf;
    const entry = new Search(query, name, this.#open);
    this.#begin(entry, query);
    await this.#run(entry, async () => {
      const found = await this.#api.post("v1/search", { body: { query, limit: FOUND, ...fields }, signal: this.#running.signal });
      entry.finish(found);
      this.#band.cite(found.results);
    });
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
    try {
      await work();
    } catch (problem) {
      const stopped = problem.name === "AbortError";
      const known = problem instanceof Problem;
      if (stopped) entry.stop();
      else entry.fail(known ? problem : Problem.from(0, { title: "The answer cannot be read" }));
      announce(stopped ? "Stopped." : "No answer.");
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
