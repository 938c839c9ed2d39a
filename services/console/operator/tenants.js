// All tenants: listed, searched by name, created, and made from an archive.

import { openDialog } from "../base/dialogs.js";
import { announce, byId, element, showProblem } from "../base/dom.js";
import { ago, bytes, count, fullTime, plural } from "../base/format.js";
import { pageOf } from "./address.js";

const PATIENCE = 3_600_000; // milliseconds: an archive over a slow line
const SHOWN = 200; // rows at a time; more are found by their names

export class Tenants {
  #api;
  #all = [];

  constructor(api) {
    this.#api = api;
    byId("tenant-search").addEventListener("input", () => this.#show());
    byId("tenant-new").addEventListener("click", () => open("new-tenant"));
    byId("tenant-import").addEventListener("click", () => open("import"));
    byId("new-tenant-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#make("new-tenant", () => this.#create());
    });
    byId("import-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#make("import", () => this.#import());
    });
  }

  async refresh() {
    try {
      this.#all = (await this.#api.get("v1/tenants")).tenants;
      byId("tenants-problem").replaceChildren();
      this.#show();
    } catch (problem) {
      showProblem(byId("tenants-problem"), problem);
    }
  }

  #show() {
    const wanted = byId("tenant-search").value.trim().toLowerCase();
    const found = this.#all.filter((one) => one.name.toLowerCase().includes(wanted));
    byId("tenants").replaceChildren(...found.slice(0, SHOWN).map(row));
    const more = found.length - SHOWN;
    byId("tenants-sum").textContent = more > 0 ? `${plural(more, "more tenant")}; search by name.` : "";
    byId("tenants-empty").hidden = found.length > 0;
    byId("tenants-empty").textContent = wanted ? "No tenant is called like that." : "No tenants yet.";
  }

  #create() {
    const body = { name: byId("new-tenant-name").value.trim() };
    for (const setting of ["precision", "retention"]) {
      const { value } = byId(`new-tenant-${setting}`);
      if (value) body[setting] = value;
    }
    return this.#api.post("v1/tenants", { body });
  }

  #import() {
    const name = byId("import-name").value.trim();
    const [body] = byId("import-file").files;
    const headers = { "Content-Type": "application/x-tar" };
    return this.#api.post(`v1/tenants/import${name ? `?${new URLSearchParams({ name })}` : ""}`, { body, headers, patience: PATIENCE });
  }

  /** Have a dialog's form make a tenant, and show it. */
  async #make(name, work) {
    const submit = byId(`${name}-form`).querySelector("[type=submit]");
    submit.disabled = true;
    byId(`${name}-problem`).replaceChildren();
    try {
      const tenant = await work();
      byId(name).close();
      announce(`${tenant.name} is there.`);
      location.hash = pageOf(tenant.name);
    } catch (problem) {
      showProblem(byId(`${name}-problem`), problem);
    } finally {
      submit.disabled = false;
    }
  }
}

function open(name) {
  byId(`${name}-form`).reset();
  byId(`${name}-problem`).replaceChildren();
  openDialog(byId(name));
}

function row(one) {
  const waiting = one.chunks - one.step;
  const memorized = waiting > 0 ? element("span", { className: "badge wait" }, `${plural(waiting, "step")} waiting`) : count(one.step);
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, element("a", { href: pageOf(one.name) }, one.name)),
    element("td", { className: "number", "data-head": "Documents" }, count(one.documents)),
    element("td", { className: "number", "data-head": "Tokens" }, count(one.tokens)),
    element("td", { className: "number", "data-head": "Steps" }, memorized),
    element("td", { className: "number", "data-head": "Size" }, bytes(one.bytes)),
    element("td", { className: "when", "data-head": "Created" }, element("time", { dateTime: one.created, title: fullTime(one.created) }, ago(one.created))),
  );
}

