// Editing a document over the revision that was read. What is in the text field is what is saved, byte for byte; when
// somebody else was quicker, both versions are shown.

import { Failure } from "./api.js";
import { question } from "./dialogs.js";
import { diff } from "./diff.js";
import * as documents from "./documents.js";
import { $, fill, h } from "./dom.js";
import { words } from "./failures.js";
import { comparable, complaint, indented, withReturns, withSigns } from "./json_text.js";
import { sideBySide } from "./sides.js";

/** {form, unsaved, mayLeave}. `read` is as documents.read tells it. done(message): it is over. */
export function edit(key, read, done) {
  const input = h("textarea", {
    id: "text", spellcheck: "false", autocapitalize: "off", rows: "12", oninput: typed, "aria-describedby": "base signs",
  });
  const baseNote = h("p", { class: "note", id: "base" });
  const signs = h("p", { class: "note", id: "signs" }, "␍ is a carriage return. It is saved as such.");
  const problem = h("p", { class: "failure", id: "problem", role: "alert" });
  const conflict = h("div", { id: "conflict" });
  const save = h("button", { type: "submit", class: "main" }, "Save");
  const undo = h("button", { type: "button", hidden: true }, "Undo");
  let opened = "", before = null; // what the field held at first, and before a button has changed it
  let base = 0n; // the revision that is edited, 0 if there is none
  begin(read);
  const form = h("form", { onsubmit: send, onkeydown: escape },
    baseNote,
    h("label", { for: "text" }, "Value, any JSON"),
    input, signs, problem,
    h("div", { class: "row" }, save, h("button", { type: "button", onclick: cancel }, "Cancel"),
      h("button", { type: "button", class: "apart", onclick: format }, "Format"), undo),
    conflict);
  undo.addEventListener("click", takeBack);
  return { form, unsaved, mayLeave };

  /** Goes on with what is stored. */
  function begin({ text, whole, revision }) {
    input.value = withSigns(text ?? "");
    opened = input.value;
    check();
    over(revision);
    // By JSON in UTF-8 this is never seen; what others have put into etcd may be anything.
    if (!whole || withReturns(opened) !== (text ?? ""))
      baseNote.append(" What is stored is not JSON in UTF-8, and this field shows it changed: saving would replace it.");
  }

  function over(revision) {
    base = revision;
    baseNote.textContent = revision
      ? `Editing revision ${revision}. It is saved only if that is still what is there.`
      : "There is no such key. It is saved only if that is still so.";
  }

  function unsaved() {
    return input.value !== opened;
  }

  /** True at once if there is nothing to lose; else what the operator says. */
  async function mayLeave() {
    if (!unsaved()) return true;
    return await question({
      title: "Leave without saving?", text: `What you have changed in ${key} would be lost.`,
      yes: "Discard my changes", no: "Go on editing", danger: true,
    }) === true;
  }

  async function cancel() {
    if (await mayLeave()) done("");
  }

  function escape(event) {
    if (event.key !== "Escape" || event.isComposing) return;
    event.preventDefault();
    cancel();
  }

  function typed() {
    hold(null);
    check();
  }

  /** Keeps what a button has replaced, until something is typed. */
  function hold(text) {
    before = text;
    undo.hidden = text === null;
  }

  function takeBack() {
    input.value = before;
    hold(null);
    check();
    input.focus();
  }

  /** Changes the space between tokens, and nothing else. */
  function format() {
    if (!check()) return input.focus();
    const made = indented(withReturns(input.value));
    if (made === null) return tell("Indented, this would be too long. It is left as it is.");
    if (made === input.value) return tell("This is formatted already.");
    const held = input.value;
    input.value = made;
    hold(held);
    check();
  }

  function tell(text) {
    problem.textContent = text;
  }

  /** Says what is wrong; whether nothing is. */
  function check() {
    const wrong = input.value === "" ? "" : complaint(withReturns(input.value));
    signs.hidden = !input.value.includes("␍");
    tell(wrong && `This is not JSON: ${wrong}`);
    return !wrong && input.value !== "";
  }

  async function send(event) {
    event.preventDefault();
    if (input.value === "") tell("There is nothing to save yet. An empty text is written as \"\".");
    if (input.value === "" || !check()) return input.focus();
    const text = input.value;
    save.disabled = true;
    try {
      const at = await documents.write(key, withReturns(text), base);
      if (at === null) await refuse();
      else if (input.value === text) done(`Saved at revision ${at}.`);
      else goOn(text, at);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      tell(words(error));
    } finally {
      save.disabled = false;
    }
  }

  /** Something was typed while it was saved: that is not saved yet. */
  function goOn(saved, revision) {
    opened = saved;
    over(revision);
  }

  async function refuse() {
    let theirs;
    try {
      theirs = await documents.read(key, { cached: false });
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      return tell(`Not saved: somebody else was quicker. What is there now could not be read: ${error.message}`);
    }
    const stored = theirs.text ?? "";
    const name = theirs.text === null ? "Now: deleted" : `Now: revision ${theirs.revision}`;
    fill(conflict,
      h("h3", { tabindex: "-1", id: "conflict-title" }, "Not saved: somebody else was quicker"),
      sideBySide(diff(comparable(stored), comparable(withReturns(input.value))), name, "Yours, not saved"),
      h("div", { class: "row" },
        h("button", { type: "button", onclick: () => settle(() => over(theirs.revision)) }, "Keep mine, over theirs"),
        h("button", { type: "button", onclick: () => settle(() => startOver(theirs)) }, "Start over from theirs")));
    $("conflict-title").focus();
  }

  function startOver(theirs) {
    const mine = input.value;
    begin(theirs);
    hold(mine);
  }

  /** Nothing is written by it: what is in the box may be saved over theirs next. */
  function settle(how) {
    tell("");
    how();
    fill(conflict);
    input.focus();
  }
}
