// What goes on in the service: what waits, who writes, who reads, and tenants that need a look.

import { factCard } from "../base/cards.js";
import { byId, element, showProblem } from "../base/dom.js";
import { bytes, count, plural, span } from "../base/format.js";
import { pageOf } from "./address.js";

const PAUSE = 2_000; // milliseconds between looks while the view is open

export class Service {
  #api;
  #timer = null;
  #watching = false;

  constructor(api, status) {
    this.#api = api;
    show(status);
  }

  /** Look again and again, or stop doing so. */
  watch(watching) {
    const began = watching && !this.#watching;
    this.#watching = watching;
    if (began) this.#look();
    if (!watching) clearTimeout(this.#timer);
  }

  async #look() {
    try {
      if (!document.hidden) show(await this.#api.get("v1/status"));
      byId("service-problem").replaceChildren();
    } catch (problem) {
      showProblem(byId("service-problem"), problem);
    }
    clearTimeout(this.#timer);
    if (this.#watching) this.#timer = setTimeout(() => this.#look(), PAUSE);
  }
}

function show(status) {
  const { backlog, writers, readers, tenants } = status;
  byId("service-facts").replaceChildren(
    factCard("Steps waiting", count(backlog.chunks), [
      ["documents", count(backlog.documents)],
      ["tokens", count(backlog.tokens)],
      ["tenants", count(backlog.tenants)],
      ["the oldest, for", backlog.chunks ? span(backlog.oldest_seconds) : "none"],
      ["to forget", count(backlog.forgets)],
    ]),
    factCard("Writers at work", count(writers.filter((writer) => !writer.gone).length), [
      ["tenants they hold", count(writers.reduce((sum, writer) => sum + writer.tenants.length, 0))],
      ["gone without notice", count(writers.filter((writer) => writer.gone).length)],
    ]),
    readersCard(readers),
    factCard("Stored", bytes(status.store_bytes), [["files of rows", count(status.store_files)], ["tenants", count(tenants.length)], ["model", status.model]]),
  );
  fill("writers", writers.map(writerRow));
  fill("attention", tenants.filter(needsLook).map(tenantRow));
}

function readersCard(readers) {
  if (readers === null) return factCard("Readers", "not reached", []);
  const sum = (name) => readers.reduce((total, reader) => total + reader[name], 0);
  return factCard("Readers", count(readers.length), [
    ["answering", `${count(sum("running"))} of ${count(sum("slots"))}`],
    ["queued", count(sum("queued"))],
    ["answered, failed", `${count(sum("answered"))}, ${count(sum("failed"))}`],
    ["memories open", count(sum("memories"))],
    ["on the host", `${bytes(sum("host_used"))} of ${bytes(sum("host_bytes"))}`],
  ]);
}

/** Rows of a table, or the words that stand in its place. */
function fill(name, rows) {
  byId(name).replaceChildren(...rows);
  byId(`${name}-table`).hidden = rows.length === 0;
  byId(`${name}-empty`).hidden = rows.length > 0;
}

function writerRow({ owner, gone, tenants }) {
  const links = tenants.flatMap(({ tenant }, index) => [index ? ", " : "", element("a", { href: pageOf(tenant) }, tenant)]);
  const state = element("span", { className: gone ? "badge bad" : "badge good" }, gone ? "gone" : "at work");
  return element("tr", {}, element("th", { scope: "row" }, owner), element("td", {}, state), element("td", { "data-head": "Holds" }, ...links));
}

const needsLook = ({ waiting, failures, cold }) => waiting.chunks > 0 || waiting.forgets > 0 || failures > 0 || cold;

function tenantRow({ tenant, waiting, failures, cold }) {
  const waits = waiting.chunks ? `${plural(waiting.chunks, "step")}, for ${span(waiting.oldest_seconds)}` : "";
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, element("a", { href: pageOf(tenant) }, tenant)),
    element("td", { "data-head": "Waiting" }, waits || null),
    element("td", { className: "number", "data-head": "To forget" }, waiting.forgets ? count(waiting.forgets) : null),
    element("td", { className: "number", "data-head": "Sources that failed" }, failures ? count(failures) : null),
    element("td", {}, cold ? element("span", { className: "badge" }, "rows dropped") : null),
  );
}
