// What was done to a document, newest first: who, when and why, and what it changed. Restores an earlier version.

import { Failure } from "./api.js";
import { diff } from "./diff.js";
import { historyOf, readAt } from "./documents.js";
import { h } from "./dom.js";
import { comparable } from "./json_text.js";
import { sideBySide } from "./sides.js";

const AT_ONCE = 5;
const DONE = { put: "written", delete: "deleted", outside: "changed past the service" };

/** The list. restore(document, base) writes an earlier one over `current`, which may be none. */
export async function past(key, current, restore) {
  const list = h("ol", { class: "past" });
  const more = h("button", { type: "button", onclick: () => go() }, "Earlier");
  const end = h("p", { class: "note" });
  const changes = told(key, current);
  await go();
  return [h("h3", {}, "History"), list, end, h("div", { class: "row" }, more)];

  async function go() {
    more.disabled = true;
    for (let number = 0; number < AT_ONCE; number++) {
      const { value, done } = await changes.next();
      if (done) {
        end.textContent = value;
        more.hidden = true;
        return;
      }
      list.append(item(value, list.childElementCount === 0));
    }
    more.disabled = false;
  }

  function item(change, open) {
    const body = h("div", {});
    const details = h("details", { open, ontoggle: () => details.open && fillOnce() },
      h("summary", {}, `Revision ${change.revision} `, h("span", { class: "who" }, said(change))), body);
    let filled = false;
    return h("li", {}, details);

    async function fillOnce() {
      if (filled) return;
      filled = true;
      body.replaceChildren(...await shown(change));
    }
  }

  async function shown({ revision: at }) {
    let before, after;
    try {
      [before, after] = [await stood(at - 1n), await stood(at)];
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      return [h("p", { class: "note" }, error.status === 410 ? "What it was is not kept." : error.message)];
    }
    const left = before.text === null ? "Nothing" : `Before: revision ${before.revision}`;
    const right = after.text === null ? "Nothing" : `Revision ${after.revision}`;
    const isNewest = after.text === null || after.revision === current.revision;
    const [wanted, text] = isNewest ? [before, "Restore what was before"] : [after, "Restore this"];
    return [
      sideBySide(diff(comparable(before.text ?? ""), comparable(after.text ?? "")), left, right),
      wanted.text !== null
        ? h("div", { class: "row" }, h("button", { type: "button", onclick: () => restore(wanted, current.revision) }, text))
        : "",
    ];
  }

  /** As it was then; what is shown above the list is not asked for again. */
  async function stood(at) {
    return at === current.revision && current.text !== null ? current : readAt(key, at);
  }
}

/**
 * Its changes, the newest first: those that have left records, then those that etcd still has. Returns why there are no
 * more.
 */
async function* told(key, current) {
  let oldest = null;
  for (let more = true; more;) {
    const page = await historyOf(key, oldest?.revision ?? null);
    for (const change of page.changes) yield (oldest = change);
    more = page.more;
  }
  if (oldest === null && current.text !== null) yield (oldest = { revision: current.revision, op: "put" });
  while (oldest !== null && oldest.revision > 1n) {
    let found;
    try {
      found = await readAt(key, oldest.revision - 1n);
    } catch (error) {
      if (!(error instanceof Failure) || error.status !== 410) throw error;
      return "What was before is not kept.";
    }
    if (found.text === null) return `Before revision ${oldest.revision} it was not there.`;
    yield (oldest = { revision: found.revision, op: "put" });
  }
  return oldest === null ? "Nothing is kept of it." : "That is the first.";
}

function said({ op, at, by, why }) {
  const when = at ? new Date(at).toLocaleString() : "";
  return [DONE[op], when, by ? `by ${by}` : "", why ? `“${why}”` : ""].filter(Boolean).join(" · ");
}
