// A passage of memory as a card that opens its document there.

import { element } from "./dom.js";

/** `figure`: an element that says how it was found; `open`: called with the document's id and the step. */
export function passageCard(passage, index, figure, open) {
  const where = passage.section ? `, ${passage.section}` : "";
  return element(
    "button",
    { className: "source", type: "button", onclick: () => open(passage.document_id, passage.step) },
    element("span", { className: "badge-number" }, String(index + 1)),
    element("span", { className: "where" }, element("b", {}, `${passage.title || passage.document_id}${where}`), figure),
    element("span", { className: "text" }, passage.text),
  );
}
