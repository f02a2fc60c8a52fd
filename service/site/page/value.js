// What is said and shown of a document that was read, and whether it is still known to be current. Pure.

import { h } from "./dom.js";
import { coloured, readable } from "./json_text.js";
import { clock, plural, seconds } from "./words.js";

/** One line. `read` is as documents.read tells it; old: it could not be read again. */
export function facts(read, old) {
  const { text, revision, holds, source, age, at } = read;
  if (old) {
    const what = text === null ? "there was no such key" : `revision ${revision}`;
    return `Old: ${what}, as of revision ${holds}, ${seconds(age + (Date.now() - at) / 1000)} ago, and not read since`;
  }
  if (text === null) return `There is no such key, as of revision ${holds}.`;
  const proven = `proven ${plural(age, "second", "seconds")} before or less`;
  return `Revision ${revision} · ${source}, read at ${clock(new Date(at))}, ${proven}, as of revision ${holds}`;
}

/** Of a text: what is shown, in colours. */
export function pieces(text) {
  return coloured(readable(text)).map(([kind, written]) => (kind ? h("span", { class: `is-${kind}` }, written) : written));
}
