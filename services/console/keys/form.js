// What a new key is to be: its name, what it may do, and until when.

import { element } from "../base/dom.js";

const SCOPES = [["query", "ask and search"], ["ingest", "add and forget"], ["admin", "manage keys, forks, exports"]];

/** `create` is called with what the API takes and says whether it was done. */
export function keyForm(create) {
  const name = element("input", { maxLength: 100, placeholder: "the website" });
  const boxes = SCOPES.map(([scope]) => element("input", { type: "checkbox", value: scope, checked: scope === "query" }));
  const expires = element("input", { type: "datetime-local" });
  const labels = SCOPES.map(([, meaning], index) => element("label", { className: "check" }, boxes[index], meaning));
  const form = element(
    "form",
    { className: "card key-form", autocomplete: "off" },
    element("h2", {}, "A new key"),
    element("div", { className: "fields" }, field("Name", name), field("Valid until (never, if empty)", expires)),
    element("fieldset", {}, element("legend", {}, "It may"), ...labels),
    element("div", { className: "row" }, element("button", { type: "submit" }, "Create the key")),
  );
  const check = () => boxes[0].setCustomValidity(boxes.some((box) => box.checked) ? "" : "Choose at least one thing that it may do.");
  for (const box of boxes) box.addEventListener("change", check);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const wanted = { name: name.value.trim(), scopes: boxes.filter((box) => box.checked).map((box) => box.value) };
    if (expires.value) wanted.expires = new Date(expires.value).toISOString();
    if (await create(wanted)) form.reset();
  });
  return form;
}

const field = (text, input) => element("label", { className: "field" }, text, input);
