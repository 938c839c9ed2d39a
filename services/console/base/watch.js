// What the service says about the memory, asked again while something changes.

const BUSY = 400; // milliseconds between looks while documents wait
const IDLE = 5_000;
const SHARE = 4; // a slow service is left alone for so many times as long as it took

/** Tells "memory" after every look, "grown" when it changed, "lost" and "found" of the service. */
export class Watch extends EventTarget {
  #api;
  #timer = null;
  #lost = false;
  memory = null;

  constructor(api) {
    super();
    this.#api = api;
  }

  /** One look now; throws what went wrong. */
  async look() {
    const before = this.memory;
    this.memory = await this.#api.get("v1/memory");
    this.dispatchEvent(new Event("memory"));
    const { step, documents, rows } = this.memory;
    if (before?.step !== step || before.documents !== documents || before.rows.forgotten !== rows.forgotten) {
      this.dispatchEvent(new Event("grown"));
    }
  }

  /** Look again and again, the first time soon. */
  soon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#again(), BUSY);
  }

  async #again() {
    const began = performance.now();
    try {
      if (!document.hidden) await this.look();
      if (this.#lost) this.dispatchEvent(new Event("found"));
      this.#lost = false;
    } catch (problem) {
      this.#lost = true;
      this.dispatchEvent(new CustomEvent("lost", { detail: problem }));
    }
    clearTimeout(this.#timer);
    const pause = this.memory?.waiting && !this.#lost ? BUSY : IDLE;
    const took = performance.now() - began;
    this.#timer = setTimeout(() => this.#again(), Math.max(pause, SHARE * took));
  }
}
