// Joins the parts: asks for the states again and again, passes on what is told of changes, follows the address, and asks
// for a token when it has to.

import { askJson, Failure, hasToken, useToken, whenDenied } from "./api.js";
import * as changes from "./changes.js";
import { askForToken } from "./dialogs.js";
import { $ } from "./dom.js";
import * as documents from "./documents.js";
import * as fleet from "./fleet.js";
import * as keys from "./keys.js";
import { linkTo } from "./keys.js";
import * as policy from "./policy.js";
import * as viewer from "./viewer.js";

const SHORTEST = 500, LONGEST = 2000; // ms between two looks
const DEADLINE = 4000;

let pause = SHORTEST;
let refused = ""; // what was said when the fleet was last refused
let timer = 0;

async function look() {
  clearTimeout(timer);
  if (document.hidden) return; // goes on when it is seen again
  try {
    const said = await askJson(`/members/states${fleet.isNew() ? "?recent=true" : ""}`, { deadline: DEADLINE });
    refused = "";
    fleet.show(said);
    const bound = Math.min(...said.members.map(({ state }) => state?.bound ?? Infinity));
    pause = Math.min(LONGEST, Math.max(SHORTEST, (bound * 1000) / 8));
    if (!changes.isTelling()) {
      const horizon = fleet.newestHorizon(said.members);
      keys.changed(horizon);
      viewer.changed(horizon);
    }
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    if (error.status === 401 || error.status === 403) fleet.closed(error.message);
    else fleet.lost(error.message);
    viewer.doubt();
  } finally {
    timer = setTimeout(look, pause);
  }
}

const LISTENER = {
  told(names, revision) {
    documents.heardOf(revision);
    keys.told(names);
    viewer.told(names);
  },
  doubt: () => viewer.prove(false),
  sure: () => viewer.prove(true),
  aKey: () => viewer.opened() ?? keys.any(),
};

function start() {
  whenDenied((failure) => {
    if (refused === failure.message) return; // asked for once; the button asks again
    refused = failure.message;
    renewToken(failure.message);
  });
  $("token-button").addEventListener("click", () => renewToken("Requests bear it from now on, in place of any before."));
  document.addEventListener("visibilitychange", look);
  document.addEventListener("visibilitychange", changes.follow);
  window.addEventListener("hashchange", follow);
  window.addEventListener("beforeunload", (event) => (viewer.unsaved() !== null || policy.unsaved()) && event.preventDefault());
  fleet.start();
  keys.start().then(() => changes.start(LISTENER));
  viewer.start();
  policy.start();
  follow();
  look();
}

async function renewToken(why) {
  const given = await askForToken(why);
  if (given === null) return;
  useToken(given);
  $("token-button").textContent = hasToken() ? "Another token" : "Token";
  keys.reload();
  viewer.reload();
  look();
  changes.follow();
}

/** The address says which document is open. If another one has changes that are not saved, it stays until they may go. */
async function follow() {
  const named = keyIn(location.hash), unsaved = viewer.unsaved();
  if (unsaved !== null && unsaved !== named) {
    history.pushState(null, "", linkTo(unsaved));
    if (await viewer.mayLeave()) history.back(); // to where we were led, which is the entry before; and follow again
    return;
  }
  viewer.open(named);
  keys.mark(named);
}

/** Of #/key/<key, encoded>; null for any other address. */
function keyIn(hash) {
  const [, key] = /^#\/key\/(.+)$/.exec(hash) ?? [];
  try {
    return key ? decodeURIComponent(key) : null;
  } catch {
    return null;
  }
}

start();
