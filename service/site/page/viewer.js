// One document: shown, edited, deleted, with its past and with what each instance serves. Owns which one is open.

import { Failure } from "./api.js";
import { question } from "./dialogs.js";
import * as documents from "./documents.js";
import { $, fill, h, say } from "./dom.js";
import { edit } from "./editor.js";
import { everywhere } from "./everywhere.js";
import { failed } from "./failures.js";
import { past } from "./past.js";
import * as keys from "./keys.js";
import { facts, pieces } from "./value.js";

const CALM = 1000; // ms between two looks at the document that is open
const SOON = 250; // ms between two reads of what changes again and again
const AGAIN = 2000; // ms from a read that failed to the next one

const UNPROVEN = "It may have changed: the service can't prove at the moment that this is the latest version.";

let key = null;
let current = null; // as documents.read tells it
let editor = null; // while it is edited, it must not change under one's hands
let drawn = null; // the text that is on view
let failure = null; // why the last read failed; what is shown is then of the read before
let unproven = false; // nothing proves that there is no newer version than the one on view
let horizon = 0n;
let asked = 0;
let timer = 0; // of a read that waits

export function start() {
  setInterval(grow, CALM);
}

/** Shows a document; null: none. What is unsaved is lost: ask `mayLeave` before. */
export function open(named) {
  if (named === key && key !== null) return;
  key = named;
  current = failure = editor = null;
  $("document-title").textContent = named ?? "Document";
  $("document-body").classList.remove("old");
  fill($("document-body"), note(named === null ? "Choose a key, or make a new one." : "Reading …"));
  if (named !== null) load(true);
}

/** The key whose changes are not saved; null if there are none. */
export function unsaved() {
  return editor?.unsaved() ? key : null;
}

/** Asks, if there is something to lose; whether it may be lost. Then it is. */
export async function mayLeave() {
  const leaving = editor;
  if (leaving && !(await leaving.mayLeave())) return false;
  if (editor === leaving) editor = current = null;
  return true;
}

/** Reads it again, whatever is shown. */
export function reload() {
  if (key !== null && !editor) load(false);
}

/** Something may have been written. */
export function changed(newest) {
  if (newest === horizon || Date.now() - asked < CALM) return;
  horizon = newest;
  reload();
}

/** These keys were written or deleted; null: any may have been. */
export function told(names) {
  if (key === null || (names !== null && !names.has(key))) return;
  clearTimeout(timer);
  timer = setTimeout(reload, Math.max(0, asked + SOON - Date.now()));
}

/** Whether it is known at the moment that what was told is all there is. */
export function prove(proven) {
  if (unproven === !proven) return;
  unproven = !proven;
  if (current && !editor) renew();
}

/** The key of the document that is open; null: none is. */
export function opened() {
  return key;
}

/** The service may be away: if so, what is shown of it is old from now on. */
export function doubt() {
  if (failure === null && Date.now() - asked >= AGAIN) reload();
}

async function load(focus) {
  const wanted = key, when = Date.now();
  asked = when;
  let found;
  try {
    found = await documents.read(wanted);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    if (wanted === key && !editor && !(current?.at > when)) missed(error); // another one may have been quicker
    return;
  }
  if (wanted !== key || editor) return;
  const there = current && (current.text === null) === (found.text === null);
  current = found;
  failure = null;
  if (there) renew();
  else draw();
  if (focus) $("document-title").focus({ preventScroll: false });
}

/** The last value stays on view, as an old one, unless we may not see it any more; and it is asked for again. */
function missed(error) {
  if (error.status === 401 || error.status === 403) current = null;
  failure = error;
  if (current) renew();
  else fill($("document-body"), failed(error), button("Read it again", reload));
}

/** What is old gets older, and is asked for again from time to time. */
function grow() {
  if (!failure || editor || key === null || document.hidden) return;
  if (current) renew();
  if ((failure.status === 0 || failure.status >= 500) && Date.now() - asked >= AGAIN) reload();
}

/** What is beneath it stays: a version that comes must not take away what somebody is reading. */
function renew() {
  $("document-body").classList.toggle("old", failure !== null || unproven);
  say($("old"), failure ? `It could not be read again. ${failure.message}` : unproven ? UNPROVEN : "");
  say($("facts"), facts(current, failure !== null));
  if (current.text === null || current.text === drawn) return;
  drawn = current.text;
  fill($("value"), pieces(drawn));
}

function draw() {
  const there = current.text !== null;
  fill($("document-body"),
    h("p", { id: "old", class: "failure", role: "alert" }),
    h("p", { id: "facts", class: "facts" }),
    there ? h("pre", { id: "value", tabindex: "0", "aria-label": "Value" }) : null,
    h("div", { class: "row" },
      button(there ? "Edit" : "Write it …", change, "main"),
      button("History", () => show(past(key, current, (old, base) => show(restored(key, old, base))))),
      button("Who serves what", () => show(everywhere(key))),
      there ? button("Delete …", drop, "careful") : null),
    h("div", { id: "below", "aria-live": "polite" }));
  drawn = null;
  renew();
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

function change() {
  const mine = edit(key, current, (message) => {
    if (editor !== mine) return;
    editor = current = failure = null;
    keys.reload();
    show(load(true).then(() => (message ? note(message) : [])));
  });
  editor = mine;
  $("document-body").classList.remove("old");
  fill($("document-body"), mine.form);
  $("text").focus();
}

async function drop() {
  const [wanted, { revision }] = [key, current];
  const sure = await question({
    title: `Delete ${wanted}?`, yes: "Delete", danger: true,
    text: `Revision ${revision} will be gone from all instances within the staleness bound.`,
  });
  if (!sure) return;
  await show(deleted(wanted, revision));
}

async function deleted(wanted, base) {
  const at = await documents.remove(wanted, base);
  keys.reload();
  await loadIf(wanted);
  if (at === null) return note("Not deleted: somebody else has changed it meanwhile. This is what is there now.");
  return [note(`Deleted at revision ${at}.`), button("Put it back", () => show(putBack(wanted, at - 1n)))];
}

async function putBack(wanted, at) {
  const old = await documents.readAt(wanted, at);
  return restored(wanted, old, 0n);
}

/** Writes an old version over `base`, what is there now: its bytes. */
async function restored(wanted, old, base) {
  const at = await documents.write(wanted, old.bytes, base);
  keys.reload();
  await loadIf(wanted);
  return note(at === null
    ? "Not restored: somebody else has changed it meanwhile. This is what is there now."
    : `Restored at revision ${at}, as it was at revision ${old.revision}.`);
}

/** Unless another document has been opened meanwhile. */
async function loadIf(wanted) {
  if (wanted === key && !editor) await load(true);
}

function note(text) {
  return h("p", { class: "note" }, text);
}

function button(text, listener, kind = null) {
  return h("button", { type: "button", class: kind, onclick: listener }, text);
}
