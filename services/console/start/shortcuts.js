// The keyboard, as the list behind "?" says it.

import { openDialog } from "../base/dialogs.js";
import { byId } from "../base/dom.js";

const PATIENCE = 1_500; // milliseconds between g and the key after it

const typing = (target) => target.matches("input:not([type=range]), textarea, select, [contenteditable]");

/** `actions`: `views` by the letter after g, theme(), and of a tenant ask(), paste(), stop() and passage(index). */
export function listenToKeys(actions) {
  let went = 0;
  const plain = { "?": () => openDialog(byId("shortcuts")), t: actions.theme };
  if (actions.ask) Object.assign(plain, { "/": actions.ask, n: actions.paste });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (document.querySelector("dialog[open]")) return; // the browser closes it at Esc
    if (event.key === "Escape") {
      if (!actions.stop?.()) document.activeElement?.blur();
      return;
    }
    if (typing(event.target)) return;
    const goes = event.timeStamp - went < PATIENCE;
    went = event.key === "g" ? event.timeStamp : -PATIENCE;
    if (goes && event.key in actions.views) location.hash = actions.views[event.key];
    else if (goes && event.key === "p" && byId("picture").offsetParent) byId("picture").focus({ focusVisible: true });
    else if (event.key in plain) plain[event.key]();
    else if (/^[1-9]$/.test(event.key) && actions.passage) actions.passage(Number(event.key) - 1);
    else return;
    event.preventDefault();
  });
}
