// The console: signs in with a key, wires the parts together and shows one view at a time.

import { Adding } from "./adding.js";
import { Api, Problem } from "./api.js";
import { Asking } from "./asking.js";
import { Band } from "./band.js";
import { Documents } from "./documents.js";
import { announce, byId, element, openDialog, showProblem } from "./dom.js";
import { Figures } from "./figures.js";
import { Forgetting } from "./forgetting.js";
import { Reader } from "./reader.js";
import { listenToKeys } from "./shortcuts.js";
import { Watch } from "./watch.js";

const KEPT = "mplus-key"; // in sessionStorage: of this tab, until it is closed
const REFUSED = "mplus-refused"; // the page was left because its key is no longer valid
const VIEWS = ["ask", "documents", "memory"];
const MAY = { query: "may ask", ingest: "may add", admin: "may manage" };

async function enter(key) {
  const api = new Api(key);
  const watch = new Watch(api);
  await watch.look();
  sessionStorage.setItem(KEPT, key);
  api.addEventListener("refused", () => signOut(true));
  start(api, watch);
}

function start(api, watch) {
  const { tenant, scopes } = watch.memory;
  const may = (scope) => scopes.includes(scope);
  byId("who").textContent = tenant;
  byId("scopes").replaceChildren(...Object.keys(MAY).filter(may).map((scope) => element("li", {}, MAY[scope])));
  const reader = new Reader(api);
  const open = (id, step) => reader.open(id, step);
  const band = new Band(api, watch, open);
  const asking = new Asking(api, band, open);
  const adding = new Adding(api, watch);
  const forgetting = new Forgetting(api, () => changed());
  const documents = new Documents(api, band, { open, forget: (one) => forgetting.confirm(one), mayForget: may("ingest") });
  const changed = () => {
    watch.soon();
    documents.refresh();
  };
  const figures = new Figures(api, watch, band, may("ingest") || may("admin"));
  allow(may);

  const show = () => {
    const wanted = location.hash.slice(1);
    const view = VIEWS.includes(wanted) ? wanted : "ask";
    document.body.dataset.view = view;
    for (const name of VIEWS) byId(`view-${name}`).hidden = name !== view;
    for (const link of document.querySelectorAll("nav [data-view]")) {
      if (link.dataset.view === view) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (view === "documents") documents.refresh();
    if (view === "memory") figures.refresh();
  };
  const go = (view) => {
    history.pushState(null, "", `#${view}`);
    show();
  };
  window.addEventListener("hashchange", () => {
    show();
    byId(document.body.dataset.view === "ask" ? "question" : "main").focus({ preventScroll: true });
  });
  watch.addEventListener("grown", () => byId("view-documents").hidden || documents.refresh());
  listenToKeys({
    ask: () => {
      go("ask");
      byId("question").focus();
    },
    paste: () => {
      if (document.body.dataset.view === "memory") go("documents");
      adding.togglePaste(true);
    },
    theme: switchTheme,
    stop: () => asking.stop(),
    passage: (index) => asking.openPassage(index),
  });
  byId("sign-in-page").hidden = true;
  byId("app").hidden = false;
  show();
  band.draw();
  watch.soon();
  byId("question").focus();
}

/** What the key may not do is switched off and says why. */
function allow(may) {
  const ask = may("query");
  byId("question").disabled = byId("ask").disabled = byId("find").disabled = !ask;
  byId("question").placeholder = ask ? "What would you like to know?" : "This key may not ask: it lacks the scope “query”";
  for (const id of ["choose", "paste-toggle"]) byId(id).disabled = !may("ingest");
  byId("choose").title = may("ingest") ? "" : "This key may not add documents: it lacks the scope “ingest”";
}

/** Begin anew: nothing of this key's tenant is left on the page, and nothing that runs can come back to it. */
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

const isDark = () => {
  const { theme } = document.documentElement.dataset;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

function showTheme() {
  byId("theme").textContent = isDark() ? "☀" : "☾";
  byId("theme").setAttribute("aria-label", `Switch to the ${isDark() ? "light" : "dark"} theme`);
}

function switchTheme() {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
  showTheme();
  announce(`${theme} theme`);
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
byId("theme").addEventListener("click", switchTheme);
byId("help").addEventListener("click", () => openDialog(byId("shortcuts")));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);
showTheme();

const kept = sessionStorage.getItem(KEPT);
if (kept) tryKey(kept);
else showDoor(sessionStorage.getItem(REFUSED) ? Problem.from(401, {}) : null);
sessionStorage.removeItem(REFUSED);
