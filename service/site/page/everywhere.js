// Who serves what: the same key asked of every instance, side by side.

import { askJson, pathOf } from "./api.js";
import { h } from "./dom.js";
import { latest, revision } from "./revisions.js";
import { plural } from "./words.js";

const LONGEST = 160;
const COLUMNS = ["Slot", "Address", "Answer", "Version", "As of", "Age", "Value"];

export async function everywhere(key) {
  const { members } = await askJson(`/members${pathOf(key)}`);
  const newest = latest(members.map(versionOf));
  const answering = members.filter((row) => row.status === 200 || row.status === 404);
  const versions = new Set(answering.map(versionOf));
  const told = versions.size > 1
    ? `${versions.size} versions are served: somebody is behind. Within the staleness bound that is allowed.`
    : `${plural(answering.length, "instance serves it", "instances serve the same version")}.`;
  return [
    h("h3", {}, "Who serves what"),
    h("p", { class: "note" }, `${told} Each was asked as a client would ask; one that did not have it has loaded it now (MISS).`),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Who serves what" },
      h("table", { id: "everywhere" },
        h("thead", {}, h("tr", {}, COLUMNS.map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, members.map((row) => line(row, newest))))),
  ];
}

function versionOf(row) {
  return revision(row.mod_revision);
}

function line(row, newest) {
  const behind = (row.status === 200 || row.status === 404) && versionOf(row) !== newest;
  const cells = row.why_not
    ? [row.why_not, "", "", "", ""]
    : [
        `${row.status} ${row.source ?? ""}`,
        row.mod_revision === null ? "absent" : `${row.mod_revision}${behind ? " (behind)" : ""}`,
        String(row.revision ?? ""),
        row.age === null ? "" : `${row.age} s`,
        row.status === 200 ? beginning(row.value ?? "") : "",
      ];
  return h("tr", { class: behind || row.why_not ? "behind" : null },
    h("th", { scope: "row" }, row.slot === null ? "–" : String(row.slot).padStart(2, "0")),
    h("td", {}, row.address || "–"),
    cells.map((text) => h("td", {}, text)));
}

/** Never half of a character. */
function beginning(value) {
  const characters = Array.from(value);
  return characters.length > LONGEST ? `${characters.slice(0, LONGEST).join("")}…` : value;
}
