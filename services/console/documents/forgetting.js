// Forgetting a document: asked for once, confirmed, and then followed until nothing of it is left.

import { documentPath } from "../base/api.js";
import { confirmed } from "../base/dialogs.js";
import { announce, byId, element, showProblem } from "../base/dom.js";
import { plural, timeOfDay } from "../base/format.js";

const STAGES = [
  ["requested", "Requested", "noted in the log"],
  ["masked", "Masked", "no answer draws on it"],
  ["rebuilt", "Rebuilt", "as if it had never come"],
  ["purged", "Purged", "no file holds it"],
];
const PAUSE = 500; // milliseconds between looks at a receipt
const PATIENCE = 60_000;

export class Forgetting {
  #api;
  #changed;
  /** `changed` is called after each stage. */
  constructor(api, changed) {
    this.#api = api;
    this.#changed = changed;
  }

  async confirm(wanted) {
    const text =
      `“${wanted.title || wanted.id}”, ${plural(wanted.tokens, "token")}: no answer will draw on it from this moment on, ` +
      "and the memory is made again without it. This cannot be undone.";
    if (await confirmed({ title: "Forget this document?", text, yes: "Forget" })) await this.#forget(wanted);
  }

  async #forget(wanted) {
    const list = element("ol", { "aria-live": "polite" });
    const card = element("div", { className: "card receipt" }, element("strong", {}, `Forgetting ${wanted.title || wanted.id}`), list);
    byId("receipts").prepend(card);
    show(list, {});
    try {
      const receipt = await this.#api.remove(documentPath(wanted.id), { patience: PATIENCE });
      announce(`${wanted.title || wanted.id} is masked: no answer draws on it.`);
      await this.#follow(list, receipt);
    } catch (problem) {
      showProblem(card, problem);
    }
    this.#changed();
  }

  async #follow(list, receipt) {
    show(list, receipt);
    this.#changed();
    const path = receipt.job_url.replace(/^\//, "");
    while (!receipt.purged) {
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
      const before = receipt;
      receipt = (await this.#api.get(path)).receipt;
      show(list, receipt);
      if (receipt.rebuilt !== before.rebuilt) this.#changed();
    }
  }
}

function show(list, receipt) {
  const stages = STAGES.map(([stage, name, meaning]) => {
    const time = receipt[stage] ? timeOfDay(receipt[stage]) : "…";
    return element("li", { className: receipt[stage] ? "done" : "" }, element("b", {}, name), element("span", { className: "quiet" }, meaning), element("br"), time);
  });
  list.replaceChildren(...stages);
}
