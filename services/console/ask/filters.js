// Which documents a question or a search is about: what the options say, as the API and as people read it.

import { byId } from "../base/dom.js";
import { fullTime } from "../base/format.js";
import { addCondition, checkConditions, conditions, inWords, listOf, metadataOf } from "./conditions.js";

const FIELDS = ["filter-session", "filter-tags", "filter-ids", "filter-after", "filter-before"];

const value = (name) => byId(`filter-${name}`).value.trim();
const time = (name) => (value(name) ? new Date(value(name)).toISOString() : null);
const lines = (text) => text.split("\n").map((one) => one.trim()).filter(Boolean);

export class Filters {
  constructor() {
    const changed = () => this.#show();
    for (const name of FIELDS) byId(name).addEventListener("input", changed);
    byId("condition-add").addEventListener("click", () => addCondition(changed));
    byId("filter-clear").addEventListener("click", () => {
      this.#clear();
      byId("options-toggle").focus();
    });
    this.#show();
  }

  /** What goes into a request's body. */
  get fields() {
    checkConditions();
    const all = {
      session: listOf(value("session")),
      tags: listOf(value("tags")),
      ids: lines(value("ids")),
      metadata: metadataOf(conditions()),
      after: time("after"),
      before: time("before"),
    };
    const said = Object.entries(all).filter(([, one]) => (Array.isArray(one) ? one.length : one !== null));
    return said.length ? { filter: Object.fromEntries(said) } : {};
  }

  /** The same in words; "" where all documents are asked. */
  get name() {
    const parts = [];
    if (value("session")) parts.push(`session ${listOf(value("session")).join(" or ")}`);
    if (value("tags")) parts.push(`tags ${listOf(value("tags")).join(" and ")}`);
    if (value("ids")) parts.push(lines(value("ids")).join(" or "));
    parts.push(...conditions().map(inWords));
    if (value("after")) parts.push(`from ${fullTime(value("after"))} on`);
    if (value("before")) parts.push(`before ${fullTime(value("before"))}`);
    return parts.join(", ");
  }

  #clear() {
    for (const name of FIELDS) byId(name).value = "";
    byId("conditions").replaceChildren();
    this.#show();
  }

  #show() {
    checkConditions();
    const { name } = this;
    byId("filter-sum").hidden = byId("filter-clear").hidden = !name;
    byId("filter-sum").textContent = name ? `only ${name}` : "";
  }
}
