// Conditions on metadata: a row for each, all of which have to hold.

import { byId, element } from "../base/dom.js";

const COMPARISONS = {
  eq: "is", ne: "is not", in: "is one of", gt: "is more than", gte: "is at least",
  lt: "is less than", lte: "is at most", there: "is there", missing: "is not there",
};
const VALUELESS = ["there", "missing"];

/** Add an empty row to #conditions and put the focus there. `changed` is called when it says something else. */
export function addCondition(changed) {
  const field = element("input", { placeholder: "author", "aria-label": "Field", required: true, maxLength: 200 });
  const choices = Object.entries(COMPARISONS).map(([value, name]) => element("option", { value }, name));
  const comparison = element("select", { "aria-label": "Comparison" }, ...choices);
  const value = element("input", { placeholder: "Ilse", "aria-label": "Value", required: true });
  const remove = element("button", { className: "plain", type: "button", "aria-label": "Remove this condition" }, "Remove");
  const row = element("li", { className: "row" }, field, comparison, value, remove);
  const check = () => {
    value.hidden = value.disabled = VALUELESS.includes(comparison.value);
    value.placeholder = comparison.value === "in" ? "Ilse, Otto" : "Ilse";
    changed();
  };
  row.addEventListener("input", check);
  remove.addEventListener("click", () => {
    row.remove();
    byId("condition-add").focus();
    changed();
  });
  byId("conditions").append(row);
  field.focus();
}

/** [[field, comparison, value]] of the rows that say something. */
export function conditions() {
  return [...byId("conditions").children].map((row) => [...row.querySelectorAll("input, select")].map((one) => one.value.trim())).filter(([field]) => field);
}

/** As the API's `metadata`; null if there is no condition. */
export function metadataOf(rows) {
  const fields = {};
  for (const [field, comparison, value] of rows) {
    const one = (fields[field] ??= {});
    if (VALUELESS.includes(comparison)) one.exists = comparison === "there";
    else one[comparison] = comparison === "in" ? listOf(value) : value;
  }
  return rows.length ? fields : null;
}

/** Complain at a row that says of a field what another one says already: only one of them could count. */
export function checkConditions() {
  const seen = new Set();
  for (const row of byId("conditions").children) {
    const [field, comparison] = row.querySelectorAll("input, select");
    const kind = VALUELESS.includes(comparison.value) ? "exists" : comparison.value;
    const said = `${field.value.trim()}\n${kind}`;
    field.setCustomValidity(seen.has(said) ? "Another condition compares this field in the same way; “is one of” takes several values." : "");
    seen.add(said);
  }
}

export const inWords = ([field, comparison, value]) => [field, COMPARISONS[comparison], VALUELESS.includes(comparison) ? "" : value].join(" ").trim();

export const listOf = (text) => text.split(",").map((one) => one.trim()).filter(Boolean);
