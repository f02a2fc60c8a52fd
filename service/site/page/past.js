// Earlier versions of a document, newest first, each beside the one that followed it.

import { Failure } from "./api.js";
import { diff } from "./diff.js";
import { readAt } from "./documents.js";
import { h } from "./dom.js";
import { comparable } from "./json_text.js";
import { sideBySide } from "./sides.js";

const AT_ONCE = 5;

/** The list. restore(document, base) writes an earlier one over `current`. */
export async function past(key, current, restore) {
  const list = h("ol", { class: "past" });
  const more = h("button", { type: "button", onclick: () => go() }, "Earlier");
  const end = h("p", { class: "note" });
  let newer = current;
  await go();
  return [h("h3", {}, "Earlier versions"), list, end, h("div", { class: "row" }, more)];

  async function go() {
    more.disabled = true;
    for (let number = 0; number < AT_ONCE; number++) {
      const older = await before(newer);
      if (older === null) {
        more.hidden = true;
        return;
      }
      list.append(item(older, newer));
      newer = older;
    }
    more.disabled = false;
  }

  async function before(version) {
    if (version.revision <= 1n) return stop("That is the first.");
    try {
      const found = await readAt(key, version.revision - 1n);
      return found.text === null ? stop(`It was written anew at revision ${version.revision}; just before, it was not there.`) : found;
    } catch (error) {
      if (!(error instanceof Failure) || error.status !== 410) throw error;
      return stop("What was before has been compacted away by etcd.");
    }
  }

  function stop(why) {
    end.textContent = why;
    return null;
  }

  function item(older, next) {
    const button = h("button", { type: "button", onclick: () => restore(older, current.revision) }, "Restore this");
    return h("li", {},
      h("details", { open: list.childElementCount === 0 },
        h("summary", {}, `Revision ${older.revision}`),
        sideBySide(diff(comparable(older.text), comparable(next.text)), `Revision ${older.revision}`, `Revision ${next.revision}`),
        h("div", { class: "row" }, button)));
  }
}
