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
  const next = changesOf(key, current);
  await go();
  return [h("h3", {}, "History"), list, end, h("div", { class: "row" }, more)];

  async function go() {
    more.disabled = true;
    end.textContent = "";
    try {
      for (let number = 0; number < AT_ONCE && !more.hidden; number++) {
        const change = await next();
        if (typeof change === "string") {
          end.textContent = change;
          more.hidden = true;
        } else list.append(item(change, list.childElementCount === 0));
      }
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      end.textContent = error.message; // the button asks again
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
      try {
        body.replaceChildren(...await shown(change));
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        filled = error.status === 410; // else it is asked again when it is opened again
        body.replaceChildren(h("p", { class: "note" }, filled ? "What it was is not kept." : error.message));
      }
    }
  }

  async function shown({ revision: at }) {
    const [before, after] = [await stood(at - 1n), await stood(at)];
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
 * Its changes one by one, the newest first, by each call: those that have left records, then those that etcd still has.
 * At the end it says why there are no more. What fails may be called again.
 */
function changesOf(key, current) {
  let oldest = null, page = [], more = true;
  return async function next() {
    if (!page.length && more) ({ changes: page, more } = await historyOf(key, oldest?.revision ?? null));
    if (page.length) return (oldest = page.shift());
    if (oldest === null && current.text === null) return "Nothing is kept of it.";
    return (oldest = oldest === null ? { revision: current.revision, op: "put" } : await before(oldest.revision));
  };

  async function before(at) {
    if (at <= 1n) return "That is the first.";
    try {
      const found = await readAt(key, at - 1n);
      return found.text === null ? `Before revision ${at} it was not there.` : { revision: found.revision, op: "put" };
    } catch (error) {
      if (!(error instanceof Failure) || error.status !== 410) throw error;
      return "What was before is not kept.";
    }
  }
}

function said({ op, at, by, why }) {
  const when = at ? new Date(at).toLocaleString() : "";
  return [DONE[op], when, by ? `by ${by}` : "", why ? `“${why}”` : ""].filter(Boolean).join(" · ");
}
