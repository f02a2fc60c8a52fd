// Documents over HTTP: read, write if nobody else has, delete, and the past.

import { ask, pathOf } from "./api.js";

let seen = 0; // the revision of this page's last write: reads after it must not show less (read your writes)

/** {text, revision, holds, source, age}; text is null if there is none. Whatever instance answers. */
export async function read(key, { cached = true } = {}) {
  const query = cached ? (seen ? `?min_revision=${seen}` : "") : "?use_cache=false";
  const answer = await ask(pathOf(key) + query, { accepted: [404, 410] });
  if (answer.status === 410) {
    seen = 0; // etcd was restored: what was written since its backup is no more
    return read(key, { cached: false });
  }
  return documentIn(answer);
}

/** As it stood at a revision; text is null if it was not there. Throws Failure, 410 when that is compacted away. */
export async function readAt(key, revision) {
  return documentIn(await ask(`${pathOf(key)}?revision=${revision}`, { accepted: [404] }));
}

/** Writes over `base`, a revision, or where nothing is (0). The new revision, or null if somebody else was quicker. */
export async function write(key, text, base) {
  const headers = { "Content-Type": "application/json", ...(base ? { "If-Match": `"${base}"` } : { "If-None-Match": "*" }) };
  return written(await ask(pathOf(key), { method: "PUT", headers, body: text, accepted: [412] }));
}

/** Deletes what is at `base`. The revision, or null if somebody else was quicker. */
export async function remove(key, base) {
  return written(await ask(pathOf(key), { method: "DELETE", headers: { "If-Match": `"${base}"` }, accepted: [412] }));
}

function written(answer) {
  if (answer.status === 412) return null;
  seen = number(answer.headers.get("X-Config-Revision"));
  return seen;
}

function documentIn(answer) {
  const { headers } = answer;
  return {
    text: answer.status === 404 ? null : answer.text,
    revision: number((headers.get("ETag") ?? "").replaceAll('"', "")),
    holds: number(headers.get("X-Config-Revision")),
    source: headers.get("X-Cache") ?? "",
    age: number(headers.get("Age")),
  };
}

function number(text) {
  return text ? Number(text) : 0;
}
