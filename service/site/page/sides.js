// Two versions side by side, line by line.

import { h } from "./dom.js";

/** A table of diff.js' rows. Says by a sign, not by colour alone, which lines differ. */
export function sideBySide(rows, left, right) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${left}; ${right}` },
    h("table", { class: "sides" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, left), h("th", { scope: "col" }, right))),
      h("tbody", {}, rows.map((row) =>
        h("tr", {}, cell(row.left, row.same, "gone", "− "), cell(row.right, row.same, "come", "+ "))))));
}

function cell(line, same, kind, sign) {
  if (line === null) return h("td", { class: "nothing" });
  return h("td", { class: same ? null : kind }, same ? "  " : sign, line);
}
