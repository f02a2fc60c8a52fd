// The list of keys: by prefix, a page at a time, and up to date while it is looked at.

import { askJson } from "./api.js";
import { question } from "./dialogs.js";
import { $, h, refresh } from "./dom.js";

const PAGE = 100;
const CALM = 2000; // ms between two looks, however much is written

let shown = []; // the keys listed
let more = null; // where the next page begins
let horizon = 0n; // as of which revision
let asked = 0; // when, in ms
let marked = null;
let timer = 0; // of a look that waits
let latest = 0; // the number of the last question: answers to earlier ones are dropped

/** A promise that the first page of them has been read. */
export function start() {
  $("filter").addEventListener("submit", (event) => event.preventDefault());
  $("prefix").addEventListener("input", reload);
  $("more-keys").addEventListener("click", () => load(more));
  $("new-key").addEventListener("click", invent);
  return load(null);
}

export function linkTo(key) {
  return `#/key/${encodeURIComponent(key)}`;
}

/** Lists from the beginning. */
export function reload() {
  load(null);
}

/** Something may have been written. Further pages are kept as they are: a list that jumps can't be read. */
export function changed(newest) {
  if (newest === horizon || Date.now() - asked < CALM || shown.length > PAGE) return;
  horizon = newest;
  reload();
}

/** These keys were written or deleted; null: any may have been. */
export function told(names) {
  const prefix = $("prefix").value;
  if (names !== null && ![...names].some((name) => name.startsWith(prefix))) return;
  if (shown.length > PAGE) return;
  clearTimeout(timer);
  timer = setTimeout(reload, Math.max(0, asked + CALM - Date.now()));
}

/** One of them; null if none is listed. */
export function any() {
  return shown[0]?.key ?? null;
}

/** Which of them is open. */
export function mark(key) {
  marked = key;
  draw();
}

async function load(after) {
  const number = ++latest;
  asked = Date.now();
  const query = new URLSearchParams({ prefix: $("prefix").value, limit: String(PAGE) });
  if (after !== null) query.set("after", after);
  let page;
  try {
    page = await askJson(`/config/?${query}`);
  } catch (error) {
    if (number === latest) $("key-note").textContent = error.message;
    return;
  }
  if (number !== latest) return;
  shown = after === null ? page.keys : [...shown, ...page.keys];
  more = page.more ? page.next : null;
  $("key-note").textContent = shown.length ? "" : `No key starts with “${$("prefix").value}”.`;
  if (!shown.length && !$("prefix").value) $("key-note").textContent = "There are no keys yet.";
  if (!shown.length && more !== null) $("key-note").textContent = "So far only keys that can't be shown; the doctor names them.";
  draw();
}

function draw() {
  $("more-keys").hidden = more === null;
  refresh($("key-list"), shown.map(({ key, mod_revision: revision }) =>
    h("li", {}, h("a", { href: linkTo(key), "aria-current": key === marked ? "true" : null }, key), h("small", {}, String(revision)))));
}

async function invent() {
  const key = await question({
    title: "A new key", text: "Slashes make groups, as in team/app.", label: "Key", value: $("prefix").value, yes: "Go on",
  });
  if (key) location.hash = linkTo(key);
}
