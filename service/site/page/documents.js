// Documents over HTTP: read, write if nobody else has, delete, and the past. What was read is never put together anew.

import { ask, askJson, documentPath, pathOf } from "./api.js";
import { withReason } from "./reasons.js";
import { revision } from "./revisions.js";

let seen = 0n; // the revision of what this page wrote or was told of last: reads after it must not show less

/** Something was written at this revision. */
export function heardOf(at) {
  if (at > seen) seen = at;
}

/** As `documentIn` tells it. Whatever instance answers. */
export async function read(key, { cached = true } = {}) {
  const query = cached ? (seen ? `?min_revision=${seen}` : "") : "?use_cache=false";
  const answer = await ask(pathOf(key) + query, { accepted: [404, 410] });
  if (answer.status === 410) {
    seen = 0n; // etcd was restored: what was written since its backup is no more
    return read(key, { cached: false });
  }
  return documentIn(answer);
}

/** As it stood at a revision; text is null if it was not there. Throws Failure, 410 when that is compacted away. */
export async function readAt(key, at) {
  return documentIn(await ask(`${pathOf(key)}?revision=${at}`, { accepted: [404] }));
}

/** {changes, more}: its changes that are kept, the newest first; before a revision, or the last ones (null). */
export async function historyOf(key, before) {
  const found = await askJson(`/history/${documentPath(key)}${before === null ? "" : `?before=${before}`}`);
  return { ...found, changes: found.changes.map((change) => ({ ...change, revision: revision(change.revision) })) };
}

/**
 * Writes text or bytes over `base`, a revision, or where nothing is (0). The new revision, or null if somebody else was
 * quicker.
 */
export async function write(key, body, base) {
  const headers = { "Content-Type": "application/json", ...(base ? { "If-Match": `"${base}"` } : { "If-None-Match": "*" }) };
  return written(await withReason((reason) =>
    ask(pathOf(key), { method: "PUT", headers: { ...headers, ...reason }, body, accepted: [412] })));
}

/** Deletes what is at `base`. The revision, or null if somebody else was quicker. */
export async function remove(key, base) {
  const headers = { "If-Match": `"${base}"` };
  return written(await withReason((reason) =>
    ask(pathOf(key), { method: "DELETE", headers: { ...headers, ...reason }, accepted: [412] })));
}

function written(answer) {
  if (answer.status === 412) return null;
  seen = revision(answer.headers.get("X-Config-Revision"));
  return seen;
}

/**
 * {text, bytes, whole, revision, holds, source, age, at}: text is null if there is none; whole: the text says all that
 * the bytes do; holds: as of which revision; at: when it came, in ms.
 */
function documentIn({ status, text, bytes, headers }) {
  return {
    text: status === 404 ? null : text,
    bytes,
    whole: isText(bytes),
    revision: revision((headers.get("ETag") ?? "").replaceAll('"', "")),
    holds: revision(headers.get("X-Config-Revision")),
    source: headers.get("X-Cache") ?? "",
    age: Number(headers.get("Age") ?? 0),
    at: Date.now(),
  };
}

function isText(bytes) {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}
