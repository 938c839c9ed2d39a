// A tenant's archive as a file, for `mplus import` or the operator's import.

import { announce, byId, showProblem } from "../base/dom.js";
import { bytes } from "../base/format.js";

const PATIENCE = 3_600_000; // milliseconds: a large memory over a slow line

export class Exporting {
  #api;
  #tenant;

  constructor(api, tenant) {
    this.#api = api;
    this.#tenant = tenant;
    byId("export-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#export(byId("export-rows").checked);
    });
  }

  async #export(rows) {
    byId("export").disabled = true;
    byId("export-state").textContent = "Making the archive …";
    byId("export-problem").replaceChildren();
    try {
      const archive = await this.#api.file(`v1/memory/export?memory=${rows}`, PATIENCE);
      save(archive, `${this.#tenant.replace(/[^\p{L}\p{N}._-]+/gu, "-")}.tar`);
      byId("export-state").textContent = `${bytes(archive.size)} exported.`;
      announce("The archive is exported.");
    } catch (problem) {
      byId("export-state").textContent = "";
      showProblem(byId("export-problem"), problem);
    } finally {
      byId("export").disabled = false;
    }
  }
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // the browser has begun by then
}
