// What the operator's key opens: tenants, and what goes on in the service.

import { byId, element } from "../base/dom.js";
import { listenToKeys } from "../start/shortcuts.js";
import { Service } from "./service.js";
import { switchTheme } from "../start/appearance.js";
import { TenantPage } from "./tenant.js";
import { Tenants } from "./tenants.js";
import { Views } from "../start/views.js";

/** `status`: what `GET /v1/status` said at the beginning. */
export function startOperator(api, status) {
  document.body.dataset.role = "operator";
  byId("who").textContent = "operator";
  byId("scopes").replaceChildren(element("li", {}, "may manage tenants"));
  const service = new Service(api, status);
  const tenants = new Tenants(api);
  const page = new TenantPage(api);
  const views = new Views(["tenants", "service"], (view, wanted) => {
    const one = view === "tenants" && wanted !== "";
    byId("tenants-all").hidden = one;
    byId("tenant-one").hidden = !one;
    if (one) page.open(wanted);
    else if (view === "tenants") tenants.refresh();
    service.watch(view === "service");
  });
  listenToKeys({ views: { t: "tenants", s: "service" }, theme: switchTheme });
  views.show();
  byId("main").focus({ preventScroll: true });
}
