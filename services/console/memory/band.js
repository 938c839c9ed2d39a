// The band above every view: the picture, what the last answer drew on, and the step to ask as of.

import { byId, element, showProblem } from "../base/dom.js";
import { count, fullTime, plural, rangeOf } from "../base/format.js";
import { hardlyMatches } from "../ask/passages.js";
import { titleOf } from "../base/titles.js";
import { Picture, columnsOf, describe, detailOf } from "./picture.js";

const COLUMNS = 120; // at most, on a wide screen
const NARROW = 60;
const TITLED = 200; // documents named on the axis
const PAUSE = 1_000; // milliseconds between pictures, or so many times as long as one took
const SHARE = 4;
const MARK = 25; // pixels that a citation's number takes, so that a finger hits the right one

export class Band extends EventTarget {
  #api;
  #watch;
  #picture = new Picture(byId("picture"));
  #documents = [];
  #citations = [];
  #at = { column: -1, layer: 0 };
  #drawing = false;
  #stale = false;
  #past = null;
  #open;

  /** Tells "drawn" when the picture is new. `open` is called with a document's id and a step when a passage is wanted. */
  constructor(api, watch, open) {
    super();
    this.#api = api;
    this.#watch = watch;
    this.#open = open;
    watch.addEventListener("memory", () => this.#say());
    watch.addEventListener("grown", () => this.draw());
    watch.addEventListener("lost", ({ detail }) => showProblem(byId("band-problem"), detail));
    watch.addEventListener("found", () => byId("band-problem").replaceChildren());
    this.#listen();
  }

  get #mayRead() {
    return this.#watch.memory.scopes.some((scope) => scope !== "admin");
  }

  get map() {
    return this.#picture.map;
  }

  /** What a question's `as_of` or `snapshot` is, {} for now, and its name. */
  get asOf() {
    return this.#past ?? { fields: {}, name: "" };
  }

  /** Ask as of a step (a number of steps), or of a snapshot; null: as of now. */
  goTo(step, snapshot = null) {
    const now = this.#watch.memory?.step ?? 0;
    const past = step !== null && (snapshot !== null || step < now);
    const fields = snapshot === null ? { as_of: step } : { snapshot };
    this.#past = past ? { step, fields, name: snapshot ? `“${snapshot}”, step ${count(step)}` : `step ${count(step)}` } : null;
    this.#showPast();
  }

  /** Ask as of a moment, a Date; the service knows which step that was. */
  goToTime(date) {
    this.#past = { step: null, fields: { as_of: date.toISOString() }, name: fullTime(date) };
    this.#showPast();
  }

  /** Mark the steps of an answer's citations. */
  cite(citations) {
    this.#citations = citations;
    this.#mark();
  }

  /** Frame a document's steps, as long as it is pointed at. */
  light(range) {
    this.#picture.light(range);
  }

  /** Fetch the picture and draw it; a change that comes meanwhile is drawn after. */
  async draw() {
    this.#stale = true;
    if (this.#drawing) return;
    this.#drawing = true;
    try {
      while (this.#stale) {
        this.#stale = false;
        const began = performance.now();
        const columns = window.innerWidth < 640 ? NARROW : COLUMNS;
        const [map, page] = await Promise.all([
          this.#api.get(`v1/memory/map?steps=${columns}`),
          this.#mayRead ? this.#api.get(`v1/documents?limit=${TITLED}`) : { documents: [] },
        ]);
        this.#documents = page.documents;
        this.#show({ ...map, buckets: columnsOf(map) });
        byId("band-problem").replaceChildren();
        const pause = Math.max(PAUSE, SHARE * (performance.now() - began));
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    } catch (problem) {
      showProblem(byId("band-problem"), problem);
    } finally {
      this.#drawing = false;
    }
  }

  #show(map) {
    this.#picture.draw(map);
    const { layers } = map;
    const named = layers > 8 ? [layers, 1] : Array.from({ length: layers }, (_, layer) => layers - layer);
    byId("layer-labels").replaceChildren(...named.map((layer) => element("span", {}, `L${layer}`)));
    byId("layer-labels").classList.toggle("each", layers <= 8);
    byId("picture").setAttribute("aria-valuemax", Math.max(0, map.buckets.length - 1));
    this.#showAxis();
    this.#mark();
    this.#showPast();
    this.dispatchEvent(new Event("drawn"));
  }

  #showAxis() {
    const known = this.#documents.filter((one) => rangeOf(one)[0] < this.map.step && one.state !== "forgetting");
    const spans = known.map((one) => {
      const [from, to] = rangeOf(one).map((step) => this.#picture.edge(step));
      const span = element("span", { title: one.title, onclick: () => this.#open(one.id, null) }, one.title);
      span.style.left = `${100 * from}%`;
      span.style.width = `${100 * (to - from)}%`;
      if (to - from < 0.03) span.textContent = "";
      if (to - from < 0.02) span.style.padding = "0";
      return span;
    });
    byId("axis").replaceChildren(...spans);
  }

  #say() {
    const { memory } = this.#watch;
    const { pool, long_term: long, forgotten } = memory.rows;
    const parts = [plural(memory.step, "step"), `${count(pool)} rows in the pool`, `${count(long)} long-term`];
    if (forgotten) parts.push(`${count(forgotten)} gone`);
    if (memory.waiting) parts.push(`${plural(memory.waiting, "step")} waiting`);
    byId("band-sum").textContent = memory.step || memory.waiting ? parts.join(" · ") : "nothing memorized yet";
    const slider = byId("as-of");
    slider.max = memory.step;
    slider.disabled = memory.step < 2;
    if (!this.#past) slider.value = memory.step;
  }

  #showPast() {
    const now = this.#watch.memory?.step ?? 0;
    const slider = byId("as-of");
    slider.value = this.#past?.step ?? now;
    slider.classList.toggle("past", this.#past !== null);
    slider.setAttribute("aria-valuetext", this.#past ? `as of ${this.#past.name}` : "now");
    this.#picture.veil(this.#past?.step ?? null);
    const label = this.#past ? `Asking as of ${this.#past.name}` : now ? "Asking as of now; drag back to ask the past" : "";
    const back = element("button", { type: "button", onclick: () => this.goTo(null) }, "Back to now");
    byId("as-of-label").replaceChildren(element("span", {}, label), ...(this.#past ? [back] : []));
    byId("asked-as-of").hidden = this.#past === null;
    byId("asked-as-of").textContent = this.#past ? `as of ${this.#past.name}` : "";
  }

  #mark() {
    if (!this.map.buckets.length || !byId("marks").offsetWidth) return;
    this.#picture.hit(this.#citations.map((citation) => citation.step - 1));
    const room = MARK / byId("marks").offsetWidth;
    const numbered = this.#citations.slice(0, Math.floor(1 / room)); // the best, as many as there is room for
    const places = spread(numbered.map((citation) => this.#picture.place(citation.step - 1)), room);
    const marks = numbered.map((citation, index) => {
      const label = `Passage ${index + 1}: step ${count(citation.step)}, ${titleOf(citation)}${hardlyMatches(citation) ? ", hardly a match" : ""}`;
      const className = `mark-step${hardlyMatches(citation) ? " faint" : ""}`;
      const mark = element("button", { className, type: "button", title: label, "aria-label": label, onclick: () => this.#open(citation.document_id, citation.step) }, String(index + 1));
      mark.style.left = `${100 * places[index]}%`;
      return mark;
    });
    byId("marks").replaceChildren(...marks);
  }

  #listen() {
    const box = byId("picture");
    new ResizeObserver(() => this.#mark()).observe(byId("marks")); // also when it comes into sight
    byId("band-toggle").addEventListener("click", () => {
      const shown = byId("band").classList.toggle("opened");
      byId("band-toggle").setAttribute("aria-expanded", shown);
    });
    box.addEventListener("pointermove", (event) => {
      const { left, top, width, height } = box.getBoundingClientRect();
      const [x, y] = [(event.clientX - left) / width, (event.clientY - top) / height];
      this.#point(Math.floor(x * this.#picture.columns), Math.floor((1 - y) * this.map.layers));
    });
    box.addEventListener("pointerleave", () => this.#point(-1, 0));
    box.addEventListener("blur", () => this.#point(-1, 0));
    box.addEventListener("focus", () => box.matches(":focus-visible") && this.#point(this.#picture.columns - 1, 0));
    box.addEventListener("click", () => this.#openHere());
    box.addEventListener("keydown", (event) => this.#key(event));
    byId("as-of").addEventListener("input", (event) => this.goTo(Number(event.target.value)));
  }

  #key(event) {
    const { column, layer } = this.#at;
    const far = event.shiftKey ? 10 : 1;
    const moves = {
      ArrowLeft: [column - far, layer], ArrowRight: [column + far, layer],
      ArrowUp: [column, layer + 1], ArrowDown: [column, layer - 1],
      Home: [0, layer], End: [this.#picture.columns - 1, layer],
    };
    if (event.key === "Enter") this.#openHere();
    else if (event.key in moves) this.#point(...moves[event.key]);
    else return;
    event.preventDefault();
  }

  #point(column, layer) {
    const { buckets, layers } = this.map;
    const detail = byId("detail");
    detail.hidden = column < 0 && !byId("picture").matches(":focus-visible");
    if (!buckets.length) detail.hidden = true;
    if (detail.hidden) {
      this.#at = { column: -1, layer: 0 };
      if (buckets.length) this.#picture.point(-1, 0);
      return;
    }
    const at = { column: Math.min(Math.max(column, 0), buckets.length - 1), layer: Math.min(Math.max(layer, 0), layers - 1) };
    this.#at = at;
    this.#picture.point(at.column, at.layer);
    const bucket = buckets[at.column];
    const title = this.#titles(bucket);
    const box = byId("picture");
    box.setAttribute("aria-valuenow", at.column);
    box.setAttribute("aria-valuetext", describe(bucket, at.layer, title));
    detail.replaceChildren(...detailOf(bucket, at.layer, title));
    const room = box.offsetWidth + box.offsetLeft - detail.offsetWidth;
    const x = box.offsetLeft + ((at.column + 0.5) / buckets.length) * box.offsetWidth;
    detail.style.left = `${Math.max(0, Math.min(room, x + 14))}px`;
    detail.style.top = `${box.offsetTop + box.offsetHeight + 6}px`;
  }

  #within(bucket) {
    return this.#documents.filter((one) => one.state !== "forgetting" && rangeOf(one)[0] < bucket.end_step && bucket.first_step < one.end_step);
  }

  #titles(bucket) {
    const [first, ...others] = this.#within(bucket);
    if (!first) return "";
    return others.length ? `${first.title} and ${plural(others.length, "other")}` : first.title;
  }

  #openHere() {
    const bucket = this.map.buckets[this.#at.column];
    const [first] = bucket ? this.#within(bucket) : [];
    if (first) this.#open(first.id, Math.max(first.first_step, bucket.first_step + 1));
  }
}

/** Places from 0 to 1, moved apart until neighbours are `room` away from one another. */
function spread(places, room) {
  const order = places.map((_, index) => index).sort((a, b) => places[a] - places[b]);
  const apart = [...places];
  for (let at = 1; at < order.length; at += 1) apart[order[at]] = Math.max(apart[order[at]], apart[order[at - 1]] + room);
  for (let at = order.length - 1, most = 1; at >= 0; at -= 1, most -= room) apart[order[at]] = Math.min(apart[order[at]], most);
  return apart;
}
