// A tenant's limits and settings: shown, and changed one by one.

import { tenantPath } from "../base/api.js";
import { announce, byId, element, showProblem } from "../base/dom.js";

// [name, label, what it is counted in, of a number field: attributes]
const SETTINGS = [
  ["max_documents", "Documents", "at most", {}],
  ["max_bytes", "Bytes of memory", "at most", {}],
  ["documents_per_minute", "Documents a minute", "handed in", {}],
  ["tokens_per_minute", "Tokens a minute", "handed in", {}],
  ["concurrent_questions", "Questions at once", "answered", {}],
  ["threshold", "Least confidence", "0 to 1; below it answers are withheld", { max: 1, step: "any" }],
  ["ttl", "Documents live for", "seconds, unless they say otherwise", { min: 1, step: "any" }],
  ["max_webhooks", "Webhooks", "at most", {}],
  ["attribute_quotas", "Of each session or tag", 'as JSON, such as {"session": {"max_documents": 100}}', { type: "text", spellcheck: false }],
  ["cold_after", "Rows may go after", "seconds without use", { step: "any" }],
];

/** A setting as its field has it. */
function written(value) {
  return typeof value === "object" && value !== null ? JSON.stringify(value) : String(value ?? "");
}

/** What a field says. Throws where it should be JSON and is none. */
function read(input) {
  if (input.value.trim() === "") return null;
  return input.type === "number" ? input.valueAsNumber : JSON.parse(input.value);
}

export class Limits {
  #api;
  #changed;
  #tenant = null;
  #inputs = {};

  /** `changed` is called with the tenant as it is then. */
  constructor(api, changed) {
    this.#api = api;
    this.#changed = changed;
    const fields = SETTINGS.map(([name, label, meaning, attributes]) => {
      const input = element("input", { id: `limit-${name}`, type: "number", min: 0, step: 1, placeholder: "none of its own", ...attributes });
      this.#inputs[name] = input;
      return element("label", { className: "field" }, element("span", {}, label, element("span", { className: "quiet small" }, ` ${meaning}`)), input);
    });
    byId("limits-fields").replaceChildren(...fields);
    byId("limits-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#save();
    });
  }

  show(tenant) {
    this.#tenant = tenant;
    byId("limits-problem").replaceChildren();
    byId("limits-state").textContent = "";
    for (const [name, input] of Object.entries(this.#inputs)) input.value = written(tenant.settings[name]);
  }

  async #save() {
    let said;
    try {
      said = Object.entries(this.#inputs).map(([name, input]) => [name, read(input)]);
    } catch (error) {
      byId("limits-state").textContent = `What each session or tag may have is no JSON: ${error.message}`;
      return;
    }
    const body = Object.fromEntries(said.filter(([name, value]) => written(value) !== written(this.#tenant.settings[name])));
    if (!Object.keys(body).length) {
      byId("limits-state").textContent = "Nothing is different.";
      return;
    }
    try {
      const tenant = await this.#api.patch(tenantPath(this.#tenant.name), { body });
      this.show(tenant);
      this.#changed(tenant);
      byId("limits-state").textContent = "Saved.";
      announce("The limits are saved.");
    } catch (problem) {
      byId("limits-state").textContent = "";
      showProblem(byId("limits-problem"), problem);
    }
  }
}
