// A new key's text, shown this once.

import { announce, byId } from "../base/dom.js";
import { openDialog } from "../base/dialogs.js";

/** Show it until the dialog is closed; nothing of it stays on the page. */
export function showSecret({ key, secret }) {
  byId("secret-title").textContent = key.name ? `The key “${key.name}”` : "The new key";
  byId("secret-text").value = secret;
  byId("secret-copied").textContent = "";
  byId("secret-copy").onclick = () => copy(secret);
  byId("secret").addEventListener("close", () => (byId("secret-text").value = ""), { once: true });
  openDialog(byId("secret"));
  byId("secret-text").select();
}

/** The clipboard is there in a secure context only; elsewhere the selection is copied by hand. */
async function copy(secret) {
  byId("secret-text").select();
  try {
    await navigator.clipboard.writeText(secret);
    byId("secret-copied").textContent = "Copied.";
  } catch {
    byId("secret-copied").textContent = "Copying is not allowed here; the key is selected: press Ctrl C.";
  }
  announce(byId("secret-copied").textContent);
}
