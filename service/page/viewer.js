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
    if (wanted !== key || busy) return;
    current = null;
    return fill($("document-body"), failed(error), button("Read it again", reload));
  }
  if (wanted !== key || busy) return;
  const there = current && (current.text === null) === (found.text === null);
  current = found;
  if (there) renew();
  else draw();
  if (focus) $("document-title").focus({ preventScroll: false });
}

/** What is beneath it stays: a version that comes must not take away what somebody is reading. */
function renew() {
  if (current.text === null) return;
  say($("facts"), facts(current));
  say($("value"), pretty(current.text));
}

function draw() {
  if (current.text === null) return fill($("document-body"), absent());
  fill($("document-body"),
    h("p", { id: "facts", class: "facts" }, facts(current)),
    h("pre", { id: "value", tabindex: "0", "aria-label": "Value" }, pretty(current.text)),
    h("div", { class: "row" },
      button("Edit", () => change(current.text, current.revision), "main"),
      button("History", () => show(past(key, current, (...old) => show(restored(...old))))),
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

/** Beneath the document: what `part` comes to, a promise of elements. */
async function show(part) {
  const wanted = key;
  if ($("below")) fill($("below"), note("Asking …"));
  let parts;
  try {
    parts = await part;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    parts = failed(error);
  }
  if (wanted === key && $("below")) fill($("below"), parts);
}

/** Edits, from `text`, over `base`. */
function change(text, base) {
  const wanted = key;
  busy = true;
  current = null;
  const done = (message) => {
    if (wanted !== key) return;
    busy = false;
    keys.reload();
    show(load(true).then(() => (message ? note(message) : [])));
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
  return [note(`Deleted at revision ${at}.`), button("Put it back", () => show(putBack(wanted, at - 1)))];
}

async function putBack(wanted, revision) {
  const old = await documents.readAt(wanted, revision);
  return restored(old.text, 0, revision);
}

/** Writes an old value over `base`, what is there now. */
async function restored(text, base, from) {
  const at = await documents.write(key, text, base);
  keys.reload();
  await load(true);
  return note(at === null
    ? "Not restored: somebody else has changed it meanwhile. This is what is there now."
    : `Restored at revision ${at}, as it was at revision ${from}.`);
}

function note(text) {
  return h("p", { class: "note" }, text);
}

function button(text, listener, kind = null) {
  return h("button", { type: "button", class: kind, onclick: listener }, text);
}
