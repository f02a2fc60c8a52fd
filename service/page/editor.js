// Editing a document over the revision that was read. When somebody else was quicker, both versions are shown.

import { Failure } from "./api.js";
import { diff, pretty } from "./diff.js";
import * as documents from "./documents.js";
import { $, fill, h } from "./dom.js";
import { words } from "./failures.js";
import { sideBySide } from "./sides.js";

/** The form. base: the revision that is edited, 0 if there is none. done(message): it is over. */
export function edit(key, text, base, done) {
  const input = h("textarea", { id: "text", spellcheck: "false", autocapitalize: "off", rows: "12", oninput: check }, text);
  input.value = text;
  const baseNote = h("p", { class: "note", id: "base" });
  const problem = h("p", { class: "failure", id: "problem", role: "alert" });
  const conflict = h("div", { id: "conflict" });
  const save = h("button", { type: "submit", class: "main" }, "Save");
  rest(base);
  return h("form", { onsubmit: send },
    baseNote,
    h("label", { for: "text" }, "Value, any JSON"),
    input, problem,
    h("div", { class: "row" }, save, h("button", { type: "button", onclick: () => done("") }, "Cancel")),
    conflict);

  /** Goes on over another revision. */
  function rest(revision) {
    base = revision;
    baseNote.textContent = revision
      ? `Editing revision ${revision}. It is saved only if that is still what is there.`
      : "There is no such key. It is saved only if that is still so.";
  }

  function check() {
    try {
      JSON.parse(input.value);
      problem.textContent = "";
      return true;
    } catch (error) {
      problem.textContent = `This is not JSON: ${error.message}`;
      return false;
    }
  }

  async function send(event) {
    event.preventDefault();
    if (!check()) return input.focus();
    save.disabled = true;
    try {
      const at = await documents.write(key, input.value, base);
      if (at === null) await refuse();
      else done(`Saved at revision ${at}.`);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      problem.textContent = words(error);
    } finally {
      save.disabled = false;
    }
  }

  async function refuse() {
    const theirs = await documents.read(key, { cached: false });
    const stored = theirs.text === null ? "" : pretty(theirs.text);
    const name = theirs.text === null ? "Now: deleted" : `Now: revision ${theirs.revision}`;
    fill(conflict,
      h("h3", { tabindex: "-1", id: "conflict-title" }, "Not saved: somebody else was quicker"),
      sideBySide(diff(stored, input.value), name, "Yours, not saved"),
      h("div", { class: "row" },
        h("button", { type: "button", onclick: () => settle(theirs, input.value) }, "Keep mine, over theirs"),
        h("button", { type: "button", onclick: () => settle(theirs, stored) }, "Start over from theirs")));
    $("conflict-title").focus();
  }

  /** Nothing is written by it: what is in the box may be saved over theirs next. */
  function settle(theirs, text) {
    rest(theirs.revision);
    input.value = text;
    fill(conflict);
    problem.textContent = "";
    input.focus();
  }
}
