// One view at a time, as the address says: #name, or #name/what of it is shown.

import { byId } from "../base/dom.js";

export class Views {
  #names;
  #opened;

  /** `names`: those of this key, the first one is shown first; `opened` is called with a view's name and what of it is wanted. */
  constructor(names, opened) {
    this.#names = names;
    this.#opened = opened;
    for (const link of document.querySelectorAll("nav [data-view]")) link.hidden = !names.includes(link.dataset.view);
    document.querySelector(".mark").href = `#${names[0]}`;
    window.addEventListener("hashchange", () => {
      this.show();
      byId(this.current === "ask" ? "question" : "main").focus({ preventScroll: true });
    });
  }

  get current() {
    return document.body.dataset.view;
  }

  show() {
    const [wanted, ...rest] = location.hash.slice(1).split("/");
    const view = this.#names.includes(wanted) ? wanted : this.#names[0];
    document.body.dataset.view = view;
    for (const section of document.querySelectorAll("main > .view")) section.hidden = section.id !== `view-${view}`;
    for (const link of document.querySelectorAll("nav [data-view]")) {
      if (link.dataset.view === view) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    this.#opened(view, readable(rest.join("/")));
  }

  /** Show a view without taking the focus. */
  go(view) {
    history.pushState(null, "", `#${view}`);
    this.show();
  }
}

function readable(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // typed by hand
  }
}
