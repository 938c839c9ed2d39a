// Sources that were not taken in, with the reason, as the jobs of the last week say.

import { byId, element } from "../base/dom.js";
import { ago, fullTime, plural } from "../base/format.js";

const JOBS = 100; // the newest

/** Show them below the documents; nothing, if there are none. */
export async function showFailures(api) {
  const { jobs } = await api.get(`v1/jobs?limit=${JOBS}`);
  const failed = jobs.flatMap((job) => job.failed.map((one) => ({ ...one, created: job.created })));
  byId("failures").hidden = failed.length === 0;
  byId("failures-sum").textContent = `${plural(failed.length, "source")} not taken in`;
  byId("failures-list").replaceChildren(...failed.map(line));
}

function line({ source, reason, created }) {
  const when = element("time", { className: "quiet", dateTime: created, title: fullTime(created) }, ago(created));
  return element("li", {}, element("b", {}, source), element("span", {}, reason), when);
}
