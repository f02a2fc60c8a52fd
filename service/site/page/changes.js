// Told of what is written, by whichever instance: one stream of names for the whole page. Owns how far it has been told.

import { askJson, Failure, listen } from "./api.js";
import { revision } from "./revisions.js";

const SILENCE = 15000; // ms without a word, after which the stream is taken for lost: it says every 10 s that it is there
const AGAIN = 1000, LONGEST = 15000; // ms to the next attempt, the first and the last
const MOST = 1000; // names that are told one by one; of more it is said that anything may have changed

let page = null; // who is told: see `start`
let token = null; // of all that has been told
let running = null; // the AbortController of the present stream
let timer = 0;
let retry = AGAIN; // as the service last said
let failures = 0; // one after the other
let denied = false; // by the last answer
let telling = false;
let names = new Set(); // changed since the token; null: anything may have

/**
 * Begins. told(names, revision): these keys have changed, null if any may have; doubt(): nothing proves at the moment
 * that there is no newer change; sure(): something does again. aKey(): one that may be read, null if none is known.
 */
export function start(listener) {
  page = listener;
  follow();
}

/** Whether each change is told as it comes: then nobody needs to look for it. */
export function isTelling() {
  return telling;
}

/** Goes on from where it stands: after a pause, or with another token. */
export async function follow() {
  clearTimeout(timer);
  running?.abort();
  telling = denied = false;
  if (page === null || document.hidden) return; // a browser has few connections, for all of its tabs
  const mine = running = new AbortController();
  try {
    // 1. Two ask for the present; 2. the second one's stream has begun; 3. the first one's answer is of later, and what was
    // written in between would never be told. So it counts only while nobody has begun anew.
    const from = token ?? await present();
    if (mine !== running) return;
    token = from;
    await listen(`/changes?${query()}`, (event) => mine === running && heard(event), mine, SILENCE);
    failures = 0;
  } catch (error) {
    if (mine === running) failed(error);
    if (!(error instanceof Failure)) throw error; // a fault of ours: seen, and no reason to hear nothing more
  } finally {
    if (mine === running) rest();
  }
}

/** Until the next attempt whoever looks for changes finds them. After 401 and 403 there is none without another token. */
function rest() {
  telling = false;
  if (!denied) timer = setTimeout(follow, failures ? Math.min(LONGEST, AGAIN * 2 ** failures) : retry);
}

/** The token of now. All names would come without one; those of one key are few. Null if no key is known. */
async function present() {
  names = null; // what has changed until now is not told
  const key = page.aKey();
  if (key === null) return null;
  try {
    return (await askJson(`/changes?${new URLSearchParams({ key, values: "false" })}`)).to;
  } catch (error) {
    if (error.status === 403) return null; // the bearer token may be for other keys
    throw error;
  }
}

function query() {
  return new URLSearchParams({ values: "false", ...(token === null ? {} : { after: token }) });
}

function heard({ name, data, retry: asked }) {
  retry = asked ?? retry;
  switch (name) {
    case "put":
    case "delete":
      if (names?.add(data.key).size > MOST) names = null;
      break;
    case "reset": // the names of all keys follow: what is on view is read anew instead
      if (token === null) break;
      token = null;
      throw new Failure(0, "Told anew", "The service tells all names anew.", "");
    case "sync":
      reached(data);
      break;
    case "stale": // it goes on, and says when it is over
      page.doubt();
  }
}

function reached({ to, revision: at, more }) {
  token = to;
  if (more) return;
  const changed = names;
  names = new Set();
  failures = 0;
  telling = true;
  page.sure();
  if (changed === null || changed.size) page.told(changed, revision(at));
}

function failed({ status }) {
  failures += 1;
  denied = status === 401 || status === 403;
  if (status === 410) token = null; // another history
  if (status === 503) page.doubt();
  else page.sure(); // whoever looks for changes again finds out about proofs, too
}
