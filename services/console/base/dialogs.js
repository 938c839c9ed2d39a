// Dialogs: the browser keeps the focus in them, closes them at Esc and gives the focus back.

import { byId } from "./dom.js";

function isOutside(event, dialog) {
  const { left, right, top, bottom } = dialog.getBoundingClientRect();
  // A key's click has no place.
  return event.detail > 0 && (event.clientX < left || event.clientX > right || event.clientY < top || event.clientY > bottom);
}

/** Open a dialog; its backdrop and everything marked data-close closes it. */
export function openDialog(dialog) {
  if (!dialog.dataset.wired) {
    dialog.dataset.wired = "yes";
    dialog.addEventListener("click", (event) => {
      if (event.target.closest("[data-close]") || isOutside(event, dialog)) dialog.close();
    });
  }
  if (!dialog.open) dialog.showModal();
}

/** Ask before something that cannot be undone; whether it was agreed to. `typed`: has to be written out first. */
export function confirmed({ title, text, yes, no = "Keep it", typed = "" }) {
  const dialog = byId("confirm");
  const [sure, written] = [byId("confirm-yes"), byId("confirm-typed")];
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  byId("confirm-no").textContent = no;
  sure.textContent = yes;
  written.value = "";
  byId("confirm-written").hidden = !typed;
  byId("confirm-wanted").textContent = typed;
  const check = () => (sure.disabled = written.value !== typed);
  check();
  written.oninput = check;
  openDialog(dialog);
  return new Promise((resolve) => {
    sure.onclick = () => dialog.close("yes");
    dialog.returnValue = "";
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
