// A document's text in a sheet at the side, with the passage of one step marked and in sight.

import { openDialog } from "../base/dialogs.js";
import { byId, element, showProblem } from "../base/dom.js";
import { ago, fullTime, plural, rangeOf, steps } from "../base/format.js";
import { documentPath } from "../base/api.js";
import { titleOf } from "../base/titles.js";

const PATIENCE = 120_000; // milliseconds: a whole book

export class Reader {
  #api;
  #latest = null;

  constructor(api) {
    this.#api = api;
    byId("reader").addEventListener("close", () => this.#latest?.abort());
  }

  /** Show a document; `step` null: from its beginning. */
  async open(id, step) {
    this.#latest?.abort();
    this.#latest = new AbortController();
    const { signal } = this.#latest;
    const text = byId("reader-text");
    byId("reader-title").textContent = id;
    byId("reader-facts").textContent = "…";
    text.replaceChildren();
    openDialog(byId("reader"));
    try {
      const found = await this.#api.get(documentPath(id), { signal, patience: PATIENCE });
      byId("reader-title").textContent = titleOf({ ...found, text: (found.passages ?? []).map((one) => one.text).join(" ") });
      byId("reader-facts").replaceChildren(...facts(found));
      text.replaceChildren(...textOf(found.passages ?? [], step));
      if (!found.passages?.length) text.textContent = "Its text is not kept any more.";
      const mark = text.querySelector("mark");
      if (mark) text.scrollTop = mark.offsetTop - text.offsetTop - text.clientHeight / 3;
      else text.scrollTop = 0;
      text.focus({ preventScroll: true });
    } catch (problem) {
      if (problem.name !== "AbortError") showProblem(text, problem);
    }
  }
}

function facts(found) {
  const parts = [found.state, plural(found.tokens, "token"), `steps ${steps(...rangeOf(found))}`];
  if (found.source !== found.title) parts.unshift(found.source);
  const when = element("time", { dateTime: found.created, title: fullTime(found.created) }, `added ${ago(found.created)}`);
  return [`${parts.join(" · ")} · `, when];
}

/** Passages are cut at white space, which is not part of them: one character between words, more between paragraphs. */
function textOf(passages, step) {
  const pieces = [];
  let end = 0;
  let section = null;
  for (const passage of passages) {
    const gap = passage.start - end;
    if (end) pieces.push(gap > 1 ? "\n\n" : " ".repeat(gap));
    if (passage.section && passage.section !== section) {
      section = passage.section;
      pieces.push(element("h3", {}, section), "\n");
    }
    const here = passage.step === step;
    pieces.push(element(here ? "mark" : "span", { "data-step": passage.step }, passage.text));
    end = passage.end;
  }
  return pieces;
}
