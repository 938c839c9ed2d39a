// A figure with what belongs to it.

import { element } from "./dom.js";

/** `pairs`: [name, value]. */
export const factCard = (title, big, pairs) =>
  element(
    "section",
    { className: "card fact" },
    element("h2", {}, title),
    element("p", { className: "big" }, big),
    element("dl", {}, ...pairs.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)])),
  );
