// A passage of memory as a card that opens its document there.

import { element } from "../base/dom.js";
import { count } from "../base/format.js";
import { titleOf } from "../base/titles.js";

const HARDLY = 0.1; // a probability below it is hardly a match

/** The probability that a passage holds what was asked; null where the checkpoint cannot say. */
export const likelihood = (passage) => ("why" in passage ? passage.score : passage.relevance);

export const hardlyMatches = (passage) => (likelihood(passage) ?? 1) < HARDLY;

/** `open`: called with the document's id and the step. */
export function passageCard(passage, index, open) {
  const figure = element("span", { className: "figure", title: reasons(passage) }, ...figures(passage));
  const foot = [passage.section, `characters ${count(passage.start)}–${count(passage.end)}`, `step ${count(passage.step)}`];
  return element(
    "button",
    { className: `source${hardlyMatches(passage) ? " faint" : ""}`, type: "button", onclick: () => open(passage.document_id, passage.step) },
    element("span", { className: "badge-number" }, String(index + 1)),
    element("span", { className: "where" }, element("b", {}, titleOf(passage)), figure),
    element("span", { className: "text" }, passage.text),
    element("span", { className: "foot quiet small" }, foot.filter(Boolean).join(" · ")),
    found(passage),
  );
}

function figures(passage) {
  const likely = likelihood(passage);
  if (likely === null) return [`vote ${vote(passage).toFixed(1)}`];
  const percent = `${inPercent(likely)} % likely`;
  return hardlyMatches(passage) ? [element("i", {}, "hardly a match"), `, ${percent}`] : [percent];
}

/** Nothing is certain, and nothing that was found is impossible. */
function inPercent(likely) {
  if (likely < 0.005) return "under 1";
  return likely > 0.995 ? "over 99" : String(Math.round(100 * likely));
}

const vote = (passage) => passage.why?.vote ?? passage.score;

function reasons(passage) {
  const meaning = likelihood(passage) === null ? "" : "How likely it holds what was asked. ";
  return `${meaning}Vote ${vote(passage).toFixed(2)}, comparable within this list only.`;
}

function found(passage) {
  const words = passage.why?.words ?? [];
  return words.length ? element("span", { className: "found-words quiet small" }, "has ", element("b", {}, words.join(" · "))) : null;
}
