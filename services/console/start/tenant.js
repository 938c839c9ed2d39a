// What a tenant's key opens: asking, documents, the memory, and for its admin the keys.

import { Adding } from "../documents/adding.js";
import { Asking } from "../ask/asking.js";
import { Band } from "../memory/band.js";
import { byId, element } from "../base/dom.js";
import { Documents } from "../documents/documents.js";
import { Exporting } from "../memory/exporting.js";
import { Figures } from "../memory/figures.js";
import { Forgetting } from "../documents/forgetting.js";
import { KeyList } from "../keys/keys.js";
import { listenToKeys } from "./shortcuts.js";
import { Reader } from "../documents/reader.js";
import { switchTheme } from "./appearance.js";
import { Views } from "./views.js";

const MAY = { query: "may ask", ingest: "may add", admin: "may manage" };

/** `watch` has looked at the memory once. */
export function startTenant(api, watch) {
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
  const keys = may("admin") ? new KeyList(api, byId("keys"), "v1/keys") : null;
  if (may("admin")) new Exporting(api, tenant);
  byId("export-card").hidden = !may("admin");
  allow(may);

  const names = ["ask", "documents", "memory", ...(keys ? ["keys"] : [])];
  const views = new Views(names, (view) => {
    if (view === "documents") documents.refresh();
    if (view === "memory") figures.refresh();
    if (view === "keys") keys.refresh();
  });
  watch.addEventListener("grown", () => byId("view-documents").hidden || documents.refresh());
  listenToKeys({
    views: Object.fromEntries(names.map((name) => [name[0], name])),
    ask: () => {
      views.go("ask");
      byId("question").focus();
    },
    paste: () => {
      if (!byId("adding").offsetParent) views.go("documents");
      adding.togglePaste(true);
    },
    theme: switchTheme,
    stop: () => asking.stop(),
    passage: (index) => asking.openPassage(index),
  });
  views.show();
  band.draw();
  watch.soon();
  if (views.current === "ask") byId("question").focus();
}

/** What the key may not do is switched off and says why. */
function allow(may) {
  const ask = may("query");
  byId("question").disabled = byId("ask").disabled = byId("find").disabled = !ask;
  byId("question").placeholder = ask ? "What would you like to know?" : "This key may not ask: it lacks the scope “query”";
  for (const id of ["choose", "paste-toggle"]) byId(id).disabled = !may("ingest");
  byId("choose").title = may("ingest") ? "" : "This key may not add documents: it lacks the scope “ingest”";
}
