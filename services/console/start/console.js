// The console: signs in with a key, and starts what the key opens, a tenant's part or the operator's.

import { Api, Problem } from "../base/api.js";
import { byId, showProblem } from "../base/dom.js";
import { openDialog } from "../base/dialogs.js";
import { startOperator } from "../operator/operator.js";
import { startTenant } from "./tenant.js";
import { Watch } from "../base/watch.js";
import { wireTheme } from "./appearance.js";

const KEPT = "mplus-key"; // in sessionStorage: of this tab, until it is closed
const REFUSED = "mplus-refused"; // the page was left because its key is no longer valid

async function enter(key) {
  const api = new Api(key);
  const begin = (await opensMemory(api)) ?? (await opensService(api));
  sessionStorage.setItem(KEPT, key);
  api.addEventListener("refused", () => signOut(true));
  byId("sign-in-page").hidden = true;
  byId("app").hidden = false;
  begin();
}

/** Null: the key is good, and of no tenant. */
async function opensMemory(api) {
  const watch = new Watch(api);
  try {
    await watch.look();
  } catch (problem) {
    if (problem.status === 403) return null;
    throw problem;
  }
  return () => startTenant(api, watch);
}

async function opensService(api) {
  const status = await api.get("v1/status");
  return () => startOperator(api, status);
}

/** Begin anew: nothing of this key's owner is left on the page, and nothing that runs can come back to it. */
function signOut(refused = false) {
  sessionStorage.removeItem(KEPT);
  if (refused) sessionStorage.setItem(REFUSED, "yes");
  location.reload();
}

function showDoor(problem = null) {
  byId("sign-in-page").hidden = false;
  byId("sign-in-problem").replaceChildren();
  if (problem) showProblem(byId("sign-in-problem"), problem);
  byId("key").select();
}

async function tryKey(key) {
  byId("sign-in-button").disabled = true;
  try {
    await enter(key);
    byId("key").value = "";
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    showDoor(problem);
  } finally {
    byId("sign-in-button").disabled = false;
  }
}

byId("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  tryKey(byId("key").value.trim());
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // its address would be taken for a view's
  byId("main").focus();
});
byId("sign-out").addEventListener("click", () => signOut());
byId("help").addEventListener("click", () => openDialog(byId("shortcuts")));
wireTheme();

const kept = sessionStorage.getItem(KEPT);
if (kept) tryKey(kept);
else showDoor(sessionStorage.getItem(REFUSED) ? Problem.from(401, {}) : null);
sessionStorage.removeItem(REFUSED);
