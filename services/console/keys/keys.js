// The keys of a tenant: listed, created, rotated, revoked. For the tenant's admin and for the operator.

import { confirmed } from "../base/dialogs.js";
import { announce, element, showProblem } from "../base/dom.js";
import { ago, fullTime } from "../base/format.js";
import { keyForm } from "./form.js";
import { showSecret } from "./secret.js";

const SCOPES = { query: "may ask", ingest: "may add", admin: "may manage" };
const HEADS = ["Key", "May", "State", "Last used"];

export class KeyList {
  #api;
  #path;
  #rows = element("tbody", {});
  #problem = element("div", { role: "alert" });
  #empty = element("p", { className: "quiet", hidden: true }, "No key opens this tenant yet.");

  /** Fills `where`; `path` is that of the keys, `v1/keys` or a tenant's. */
  constructor(api, where, path) {
    this.#api = api;
    this.#path = path;
    const heads = [...HEADS.map((head) => element("th", { scope: "col" }, head)), element("th", { scope: "col" }, element("span", { className: "hidden" }, "Actions"))];
    const caption = element("caption", { className: "hidden" }, "Keys, the oldest first");
    const table = element("table", { className: "list keys-list" }, caption, element("thead", {}, element("tr", {}, ...heads)), this.#rows);
    where.replaceChildren(keyForm((wanted) => this.#create(wanted)), this.#problem, table, this.#empty);
  }

  async refresh() {
    await this.#try(async () => {
      const { keys } = await this.#api.get(this.#path);
      this.#rows.replaceChildren(...keys.map((key) => this.#row(key)));
      this.#empty.hidden = keys.length > 0;
    });
  }

  /** Returns whether it was created. */
  #create(wanted) {
    return this.#try(async () => {
      showSecret(await this.#api.post(this.#path, { body: wanted }));
      await this.refresh();
    });
  }

  async #rotate(key) {
    const text = `A new key takes the place of ${called(key)}, which is refused from this moment on.`;
    if (!(await confirmed({ title: "Rotate this key?", text, yes: "Rotate" }))) return;
    await this.#try(async () => {
      showSecret(await this.#api.post(`${this.#path}/${key.id}/rotate`));
      await this.refresh();
    });
  }

  async #revoke(key) {
    const text = `${called(key)} is refused from this moment on, everywhere. This cannot be undone.`;
    if (!(await confirmed({ title: "Revoke this key?", text, yes: "Revoke" }))) return;
    await this.#try(async () => {
      await this.#api.remove(`${this.#path}/${key.id}`);
      announce(`${called(key)} is revoked.`);
      await this.refresh();
    });
    this.#rows.closest("main").focus({ preventScroll: true }); // the button is gone
  }

  async #try(work) {
    try {
      await work();
      this.#problem.replaceChildren();
      return true;
    } catch (problem) {
      showProblem(this.#problem, problem);
      return false;
    }
  }

  #row(key) {
    const may = key.scopes.map((scope) => element("li", {}, SCOPES[scope] ?? scope));
    const [state, className, live] = stateOf(key);
    const used = key.used ? element("time", { dateTime: key.used, title: fullTime(key.used) }, ago(key.used)) : "never";
    const action = (name, className, act) => element("button", { className, type: "button", "aria-label": `${name} ${called(key)}`, onclick: act }, name);
    const actions = live ? [action("Rotate", "plain small", () => this.#rotate(key)), action("Revoke", "plain danger small", () => this.#revoke(key))] : [];
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, key.name || "without a name", element("span", { className: "key" }, `${key.id}, ${fullTime(key.created)}`)),
      element("td", {}, element("ul", { className: "chips" }, ...may)),
      element("td", {}, element("span", { className }, state)),
      element("td", { className: "when", "data-head": "Last used" }, used),
      element("td", { className: "actions" }, ...actions),
    );
  }
}

const called = (key) => (key.name ? `the key “${key.name}”` : `the key ${key.id}`);

/** [in words, class, whether it opens anything]. */
function stateOf({ revoked, expires }) {
  if (revoked) return [`revoked ${ago(revoked)}`, "badge", false];
  if (expires && new Date(expires) <= Date.now()) return [`expired ${ago(expires)}`, "badge", false];
  return [expires ? `until ${fullTime(expires)}` : "valid", "badge good", true];
}
