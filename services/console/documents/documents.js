// The list of documents: pages, search, a filter, and what can be done with each.

import { byId, element, showProblem } from "../base/dom.js";
import { showFailures } from "./failures.js";
import { ago, count, fullTime, rangeOf, steps } from "../base/format.js";

const PAGE = 50;
const PAUSE = 250; // milliseconds after the last key of a search

export class Documents {
  #api;
  #band;
  #open;
  #forget;
  #rows = new Map();
  #cursor = null;
  #loaded = 0;
  #turn = 0;
  #mayForget;

  constructor(api, band, { open, forget, mayForget }) {
    this.#api = api;
    this.#band = band;
    this.#open = open;
    this.#forget = forget;
    this.#mayForget = mayForget;
    let timer = null;
    byId("search").addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.restart(), PAUSE);
    });
    byId("state").addEventListener("change", () => this.restart());
    byId("documents-more").addEventListener("click", () => this.#load(this.#loaded + PAGE));
  }

  restart() {
    return this.#load(PAGE);
  }

  /** The same pages again. */
  refresh() {
    return this.#load(Math.max(PAGE, this.#loaded));
  }

  async #load(wanted) {
    const turn = ++this.#turn; // a later call makes this one's answer stale
    const found = [];
    let cursor = null;
    try {
      do {
        const page = await this.#api.get(`v1/documents?${this.#query(cursor)}`);
        found.push(...page.documents);
        cursor = page.next_cursor;
      } while (cursor && found.length < wanted);
      await showFailures(this.#api);
    } catch (problem) {
      if (turn === this.#turn) showProblem(byId("documents-problem"), problem);
      return;
    }
    if (turn !== this.#turn) return;
    byId("documents-problem").replaceChildren();
    this.#cursor = cursor;
    this.#loaded = found.length;
    this.#show(found);
  }

  #query(cursor) {
    const query = new URLSearchParams({ limit: PAGE });
    const [search, state] = [byId("search").value.trim(), byId("state").value];
    if (search) query.set("q", search);
    if (state) query.set("state", state);
    if (cursor) query.set("cursor", cursor);
    return query;
  }

  /** Rows that stay are changed in place, so that the focus and the pointer stay where they are. */
  #show(found) {
    const rows = new Map();
    for (const one of found) {
      const name = `${one.id}\n${one.created}`;
      const row = this.#rows.get(name) ?? this.#row(one);
      fill(row, one);
      rows.set(name, row);
    }
    const before = [...this.#rows.keys()].join("\n");
    this.#rows = rows;
    if ([...rows.keys()].join("\n") !== before) {
      const focused = document.activeElement;
      byId("documents").replaceChildren(...rows.values());
      if (focused?.isConnected) focused.focus({ preventScroll: true });
      else if (focused) byId("main").focus({ preventScroll: true });
    }
    const filtered = byId("search").value || byId("state").value;
    byId("documents-empty").hidden = found.length > 0;
    byId("documents-empty").textContent = filtered ? "No document is like that." : "No documents yet. Drop some files on this page.";
    byId("documents-more").hidden = this.#cursor === null;
  }

  #row(one) {
    const open = element("button", { className: "open", type: "button", onclick: () => this.#open(one.id, null) }, one.title || one.id);
    const cells = [
      element("td", {}, open, one.title && one.title !== one.id ? element("span", { className: "key" }, one.id) : ""),
      element("td", {}, element("span", { className: "badge" })),
      element("td", { className: "number" }, count(one.tokens)),
      element("td", { className: "number" }),
      element("td", { className: "when" }, element("time", { dateTime: one.created, title: fullTime(one.created) })),
      element("td", { className: "number" }),
    ];
    if (this.#mayForget) {
      const forget = () => this.#forget(one);
      cells[5].append(element("button", { className: "plain danger small", type: "button", "aria-label": `Forget ${one.title || one.id}`, onclick: forget }, "Forget"));
    }
    const row = element("tr", {}, ...cells);
    row.addEventListener("pointerenter", () => this.#band.light(row.range));
    row.addEventListener("pointerleave", () => this.#band.light(null));
    row.addEventListener("focusin", () => this.#band.light(row.range));
    row.addEventListener("focusout", () => this.#band.light(null));
    return row;
  }
}

const COLOURS = { memorized: "badge good", waiting: "badge wait", forgetting: "badge bad" };

/** What of a row changes. */
function fill(row, one) {
  const [, state, , range, when, last] = row.children;
  row.range = rangeOf(one);
  state.firstChild.className = COLOURS[one.state];
  state.firstChild.textContent = one.state;
  range.textContent = steps(...rangeOf(one));
  when.firstChild.textContent = ago(one.created);
  if (!last.firstChild) return;
  const hadFocus = last.firstChild === document.activeElement;
  last.firstChild.hidden = one.state === "forgetting";
  if (hadFocus && last.firstChild.hidden) row.querySelector(".open").focus({ preventScroll: true });
}
