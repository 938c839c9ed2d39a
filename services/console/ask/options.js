// How to ask and how to search, as the options say; what they leave out is up to the service.

import { byId } from "../base/dom.js";

const number = (id) => byId(id).valueAsNumber; // NaN if nothing is there

/** The fields of a question. */
export function askOptions() {
  const temperature = number("temperature") || 0;
  const fields = { max_tokens: number("max-tokens") || 64, temperature, citations: number("citations") || 0 };
  if (temperature > 0) fields.seed = crypto.getRandomValues(new Uint32Array(1))[0]; // another draw each time
  if (!Number.isNaN(number("threshold"))) fields.threshold = number("threshold") / 100;
  return fields;
}

/** The fields of a search. */
export function searchOptions() {
  return { limit: number("found") || 10 };
}

/** Whether everything that was filled in can be; opens the options where they cannot. */
export function composed() {
  const form = byId("composer");
  if (form.checkValidity()) return true;
  if (byId("options").querySelector(":invalid:not(fieldset)")) showOptions(true);
  form.reportValidity();
  return false;
}

export function showOptions(shown = byId("options").hidden) {
  byId("options").hidden = !shown;
  byId("options-toggle").setAttribute("aria-expanded", shown);
}
