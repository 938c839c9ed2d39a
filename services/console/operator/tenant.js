// One tenant as the operator sees it: figures, limits, keys, and its end.

import { tenantPath } from "../base/api.js";
import { confirmed } from "../base/dialogs.js";
import { announce, byId, showProblem } from "../base/dom.js";
import { bytes, count, fullTime } from "../base/format.js";
import { factCard } from "../base/cards.js";
import { KeyList } from "../keys/keys.js";
import { Limits } from "./limits.js";

const PATIENCE = 600_000; // milliseconds: all files of a tenant

export class TenantPage {
  #api;
  #limits;
  #keys = null;
  #name = "";

  constructor(api) {
    this.#api = api;
    this.#limits = new Limits(api, (tenant) => this.#show(tenant));
    byId("tenant-delete").addEventListener("click", () => this.#delete(this.#name));
  }

  async open(name) {
    this.#name = name;
    byId("tenant-name").textContent = name;
    byId("tenant-problem").replaceChildren();
    byId("tenant-parts").hidden = true;
    try {
      const tenant = await this.#api.get(tenantPath(name));
      if (name !== this.#name) return; // another one was opened meanwhile
      this.#show(tenant);
      this.#limits.show(tenant);
      this.#keys = new KeyList(this.#api, byId("tenant-keys"), `${tenantPath(name)}/keys`);
      byId("tenant-parts").hidden = false;
      await this.#keys.refresh();
    } catch (problem) {
      showProblem(byId("tenant-problem"), problem);
    }
  }

  #show(tenant) {
    const { documents, tokens, chunks, step, bytes: size } = tenant;
    byId("tenant-facts").replaceChildren(
      factCard("Documents", count(documents), [["tokens", count(tokens)], ["created", fullTime(tenant.created)]]),
      factCard("Steps memorized", count(step), [["waiting", count(chunks - step)], ["files", bytes(size)]]),
      factCard("Memory", tenant.precision, [["retention", tenant.retention], ["seed", String(tenant.seed)], ["weights", `${tenant.fingerprint.slice(0, 12)}…`]]),
    );
  }

  async #delete(name) {
    const text = "Everything that it has goes at once and for good: documents, memory, snapshots, keys. This cannot be undone. To go on, write its name:";
    if (!(await confirmed({ title: `Delete the tenant ${name}?`, text, yes: "Delete", typed: name }))) return;
    try {
      await this.#api.remove(tenantPath(name), { patience: PATIENCE });
      announce(`${name} is deleted.`);
      location.hash = "#tenants";
    } catch (problem) {
      showProblem(byId("tenant-problem"), problem);
    }
  }
}
