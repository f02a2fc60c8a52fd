// One document: shown, edited, deleted, with its past and with what each instance serves. Owns which one is open.

import { Failure } from "./api.js";
import { question } from "./dialogs.js";
import { pretty } from "./diff.js";
import * as documents from "./documents.js";
import { $, fill, h, say } from "./dom.js";
import { edit } from "./editor.js";
import { everywhere } from "./everywhere.js";
import { failed } from "./failures.js";
import { past } from "./past.js";
import * as keys from "./keys.js";
import { plural } from "./words.js";

const CALM = 1000; // ms between two looks at the document that is open

let key = null;
let current = null; // as documents.read tells it
let busy = false; // it is being edited, or something else of it is shown: it must not change under one's hands
let horizon = 0;
let asked = 0;

/** Shows a document; null: none. */
export function open(named) {
  if (named === key && key !== null) return;
  key = named;
  current = null;
  busy = false;
  $("document-title").textContent = named ?? "Document";
  if (named === null) fill($("document-body"), note("Choose a key, or make a new one."));
  else load(true);
}

/** Reads it again, whatever is shown. */
export function reload() {
  if (key !== null && !busy) load(false);
}

/** Something may have been written. */
export function changed(newest) {
  if (key === null || busy || newest === horizon || Date.now() - asked < CALM) return;
  horizon = newest;
  load(false);
}

async function load(focus) {
  const wanted = key;
  asked = Date.now();
  let found;
  try {
    found = await documents.read(wanted);
  } catch (error) {
    if (wanted === key && !busy) fill($("document-body"), failed(error), h("button", { type: "button", onclick: reload }, "Read it again"));
    return;
  }
  if (wanted !== key || busy) return;
  const same = current && current.revision === found.revision && current.text === found.text;
  current = found;
  if (same && $("facts")) say($("facts"), facts(found));
  else draw();
  if (focus) $("document-title").focus({ preventScroll: false });
}

function draw() {
  if (current.text === null) return fill($("document-body"), absent());
  fill($("document-body"),
    h("p", { id: "facts", class: "facts" }, facts(current)),
    h("pre", { id: "value", tabindex: "0", "aria-label": "Value" }, pretty(current.text)),
    h("div", { class: "row" },
      button("Edit", () => change(current.text, current.revision), "main"),
      button("History", () => show(past(key, current, restore))),
      button("Who serves what", () => show(everywhere(key))),
      button("Delete …", drop)),
    h("div", { id: "below", "aria-live": "polite" }));
}

function facts({ revision, holds, source, age }) {
  return `Revision ${revision} · ${source}, proven ${plural(age, "second", "seconds")} ago or less, as of revision ${holds}`;
}

function absent() {
  return [
    note(`There is no such key, as of revision ${current.holds}.`),
    h("div", { class: "row" },
      button("Write it …", () => change("", 0), "main"),
      button("Who serves what", () => show(everywhere(key)))),
    h("div", { id: "below", "aria-live": "polite" }),
  ];
}

async function show(part) {
  const below = $("below");
  fill(below, note("Asking …"));
  try {
    fill(below, await part);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    fill(below, failed(error));
  }
}

/** Edits, from `text`, over `base`. */
function change(text, base) {
  const wanted = key;
  busy = true;
  const done = (message) => {
    if (wanted !== key) return;
    busy = false;
    load(true).then(() => message && $("below") && fill($("below"), note(message)));
    keys.reload();
  };
  fill($("document-body"), edit(wanted, pretty(text), base, done));
  $("text").focus();
}

async function drop() {
  const [wanted, { revision }] = [key, current];
  const sure = await question({
    title: `Delete ${wanted}?`, yes: "Delete",
    text: `Revision ${revision} will be gone from all instances within the staleness bound.`,
  });
  if (!sure) return;
  await show(deleted(wanted, revision));
}

async function deleted(wanted, base) {
  const at = await documents.remove(wanted, base);
  keys.reload();
  if (at === null) {
    await load(false);
    return note("Not deleted: somebody else has changed it meanwhile. This is what is there now.");
  }
  await load(false);
  fill($("below"), note(`Deleted at revision ${at}.`), button("Put it back", () => putBack(wanted, at - 1)));
  return [...$("below").childNodes];
}

async function putBack(wanted, revision) {
  await show(documents.readAt(wanted, revision).then((old) => restore(old.text, 0, revision)));
}

/** Writes an old value over what is there now. */
async function restore(text, base, from) {
  const at = await documents.write(key, text, base);
  keys.reload();
  await load(true);
  const message = at === null
    ? "Not restored: somebody else has changed it meanwhile. This is what is there now."
    : `Restored at revision ${at}, as it was at revision ${from}.`;
  fill($("below"), note(message));
  return [...$("below").childNodes];
}

function note(text) {
  return h("p", { class: "note" }, text);
}

function button(text, listener, kind = null) {
  return h("button", { type: "button", class: kind, onclick: listener }, text);
}
