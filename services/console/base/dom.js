// Elements from data. Text only ever becomes text nodes, so no document can become markup.

export const byId = (id) => document.getElementById(id);

/** An element; properties named on… are listeners, those an element has are set, others are attributes. */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

export function shape(name, attributes = {}) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** What went wrong and what to do about it, in place of whatever `where` holds. */
export function showProblem(where, problem) {
  where.replaceChildren(
    element("p", { className: "problem" }, element("strong", {}, problem.title), ` ${problem.message}`),
  );
}

/** Read out by screen readers, seen by nobody; also when it is what was said before. */
export function announce(text) {
  byId("status").replaceChildren(element("span", {}, text));
}
