// Files and pasted text on their way into the memory: sent one after another, then watched.

import { Problem } from "../base/api.js";
import { announce, byId, element } from "../base/dom.js";
import { count, plural, rangeOf } from "../base/format.js";

const PATIENCE = 600_000; // milliseconds: a large file over a slow line
const SHOWN = 100; // finished ones stay in the list, up to this many

/** What was sent: its line in the list and how far it is. */
class Item {
  #state = element("span", { className: "quiet" });
  #bar = element("progress", { max: 1 });
  #why = element("span", { className: "why" });
  job = null;
  documents = [];
  done = false;

  constructor(name) {
    this.name = name;
    this.#bar.setAttribute("aria-label", `Progress of ${name}`);
    this.node = element("li", {}, element("span", { className: "name", title: name }, name), this.#state, this.#bar);
    this.say("in line", "", 0);
  }

  say(text, className = "", share = null) {
    this.#state.textContent = text;
    this.#state.className = className ? `badge ${className}` : "quiet small";
    if (share !== null) this.#bar.value = share;
  }

  end(text, className) {
    this.done = true;
    this.say(text, className);
    this.#bar.remove();
  }

  blame(reasons) {
    this.#why.textContent = reasons.join(" ");
    this.node.append(this.#why);
  }

  get tokens() {
    return this.documents.reduce((sum, one) => sum + (one.known ? 0 : one.tokens), 0);
  }

  /** Tokens memorized when the memory has `step` steps, spread evenly over a document's steps. */
  reached(step) {
    return this.documents.reduce((sum, one) => {
      const { tokens, known } = one;
      const [first, end] = rangeOf(one);
      const share = end > first ? Math.min(Math.max((step - first) / (end - first), 0), 1) : 1;
      return sum + (known ? 0 : tokens * share);
    }, 0);
  }
}

export class Adding {
  #api;
  #watch;
  #items = [];
  #queue = [];
  #sending = false;
  #looking = false;
  #began = null; // when the first of those under way was taken in
  #rate = 0;

  constructor(api, watch) {
    this.#api = api;
    this.#watch = watch;
    watch.addEventListener("memory", () => this.#progress());
    byId("choose").addEventListener("click", () => byId("file").click());
    byId("file").addEventListener("change", ({ target }) => {
      this.addFiles([...target.files]);
      target.value = "";
    });
    byId("paste-toggle").addEventListener("click", () => this.togglePaste());
    byId("paste").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#addText(byId("paste-title").value.trim(), byId("paste-text").value);
      byId("paste").reset();
    });
    acceptDrops((files) => this.addFiles(files));
  }

  togglePaste(shown = byId("paste").hidden) {
    byId("paste").hidden = !shown;
    byId("paste-toggle").setAttribute("aria-expanded", shown);
    if (shown) byId("paste-text").focus();
  }

  addFiles(files) {
    for (const file of files) {
      const form = new FormData();
      form.append("files", file);
      this.#add(file.name, form);
    }
  }

  #addText(title, text) {
    this.#add(title || text.trim().slice(0, 60), title ? { text, title } : { text });
  }

  #add(name, body) {
    const item = new Item(name);
    this.#items.push(item);
    this.#queue.push([item, body]);
    byId("activity-head").hidden = false;
    byId("activity").prepend(item.node);
    while (byId("activity").children.length > SHOWN && this.#items[0].done) this.#items.shift().node.remove();
    this.#send();
  }

  async #send() {
    if (this.#sending) return;
    this.#sending = true;
    for (let next = this.#queue.shift(); next; next = this.#queue.shift()) await this.#sendOne(...next);
    this.#sending = false;
  }

  async #sendOne(item, body) {
    item.say("sending");
    try {
      const taken = await this.#post(item, body);
      item.documents = taken.documents;
      item.job = taken.job_url.replace(/^\//, "");
      item.blame(taken.failed.map((one) => `${one.source}: ${one.reason}`));
      if (taken.documents.every((one) => one.known && one.state === "memorized")) item.end("known already", "good");
      else item.say("waiting", "wait");
      this.#began ??= { at: performance.now(), tokens: this.#reached(this.#watch.memory.step) - item.reached(this.#watch.memory.step) };
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      item.end("failed", "bad");
      const reasons = (problem.body.failed ?? []).map((one) => one.reason);
      item.blame(reasons.length ? reasons : [problem.message]);
      announce(`${item.name} failed.`);
    }
    this.#watch.soon();
  }

  /** Handed in once, also where it has to wait because a limit is reached or the service is busy. */
  async #post(item, body) {
    const headers = { "Idempotency-Key": randomName() };
    for (;;) {
      try {
        return await this.#api.post("v1/documents", { body, headers, patience: PATIENCE });
      } catch (problem) {
        if (!problem.retryAfter) throw problem;
        item.say(`again in ${problem.retryAfter} s`, "wait");
        item.blame([problem.message]);
        await new Promise((resolve) => setTimeout(resolve, 1000 * problem.retryAfter));
        item.blame([]);
      }
    }
  }

  /** After each look at the memory: what is in between follows from the steps, the end from the job. */
  async #progress() {
    const { step } = this.#watch.memory;
    const open = this.#items.filter((item) => item.job && !item.done);
    for (const item of open) {
      const share = item.tokens ? item.reached(step) / item.tokens : 0;
      if (share > 0) item.say(`${Math.round(100 * share)} %`, "", share);
    }
    this.#showRate(step);
    if (this.#looking || !open.length) return;
    this.#looking = true;
    try {
      // Steps are numbered anew when a document is forgotten, so the first one's job is always asked.
      const ready = open.filter((item, index) => index === 0 || item.documents.every((one) => one.end_step <= step));
      for (const item of ready) await this.#ask(item);
      if (open.some((item) => !item.done)) this.#watch.soon();
      else this.#showRate(step);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem; // the watch tells that the service is away
    } finally {
      this.#looking = false;
    }
  }

  async #ask(item) {
    const job = await this.#api.get(item.job);
    if (job.state !== "done" && job.state !== "failed") return;
    item.end("memorized", "good");
    announce(`${item.name} is memorized.`);
  }

  /** Tokens of everything sent that are memorized. */
  #reached(step) {
    const sent = this.#items.filter((item) => item.job);
    return sent.reduce((sum, item) => sum + (item.done ? item.tokens : item.reached(step)), 0);
  }

  #showRate(step) {
    const sent = this.#items.filter((item) => item.job);
    const done = sent.filter((item) => item.done).length;
    const open = this.#items.some((item) => !item.done);
    if (this.#began && open) {
      const seconds = (performance.now() - this.#began.at) / 1000;
      this.#rate = seconds > 0 ? (this.#reached(step) - this.#began.tokens) / seconds : 0;
    }
    const rate = this.#rate ? ` · ${count(Math.round(this.#rate))} tokens/s` : "";
    byId("rate").textContent = `${count(done)} of ${plural(this.#items.length, "file")}${rate}`;
    if (!open) this.#began = null;
  }
}

function acceptDrops(take) {
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    byId("veil").hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) byId("veil").hidden = true;
  });
  document.addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    byId("veil").hidden = true;
    take([...event.dataTransfer.files]);
  });
}

/** Random, also where the page has no secure context and so no randomUUID. */
const randomName = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
