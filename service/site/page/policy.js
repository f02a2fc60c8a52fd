// The policy of the fleet, in a dialog: shown, tried on what is stored, and replaced over the one that was read.

import { ask, Failure } from "./api.js";
import { question } from "./dialogs.js";
import { $ } from "./dom.js";
import { faults, words } from "./failures.js";
import { complaint } from "./json_text.js";

const EMPTY = '{\n  "guarded": [],\n  "schemas": [],\n  "reason_required": []\n}\n';
const MOST = 10; // documents that are named

let tag = ""; // of the policy that is edited; "" if there is none
let opened = ""; // what the field held at first

export function start() {
  $("policy-button").addEventListener("click", open);
  $("policy-close").addEventListener("click", close);
  $("policy-try").addEventListener("click", () => working(attempt));
  $("policy-dialog").querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    working(save);
  });
  $("policy-dialog").addEventListener("cancel", (event) => {
    event.preventDefault();
    close();
  });
}

/** Whether something was changed that is not in force. */
export function unsaved() {
  return $("policy-dialog").open && $("policy-text").value !== opened;
}

function open() {
  say("Reading …");
  $("policy-text").value = opened = "";
  $("policy-dialog").showModal();
  working(read);
}

async function read() {
  const answer = await ask("/policy", { accepted: [404] });
  const there = answer.status !== 404;
  tag = there ? answer.headers.get("ETag") : "";
  begin(there ? answer.text : EMPTY);
  say(there ? `In force since revision ${tag.replaceAll('"', "")}.` : "The fleet has none yet.");
  $("policy-text").focus();
}

function begin(text) {
  $("policy-text").value = text;
  opened = $("policy-text").value;
}

async function attempt() {
  const trial = await put("?dry_run=true&limit=1000", {});
  const tried = JSON.parse(trial.text);
  const named = tried.refused.slice(0, MOST).map(({ key, errors }) => `${key}: ${faults(errors)}`);
  const beyond = tried.more || tried.refused.length > MOST ? ["There are more."] : [];
  say(tried.refused.length ? ["What is stored would be refused, if it were written again:", ...named, ...beyond].join("\n")
    : `It would refuse nothing that is stored${tried.more ? ", as far as was looked" : ""}.`);
}

async function save() {
  const text = $("policy-text").value;
  const answer = await put("", tag ? { "If-Match": tag } : { "If-None-Match": "*" });
  if (answer.status === 412) return tell("Not put in force: somebody else has put another one meanwhile. Close, and look at it.");
  tag = answer.headers.get("ETag");
  opened = text;
  say(`In force since revision ${tag.replaceAll('"', "")}.`);
}

function put(query, condition) {
  const headers = { "Content-Type": "application/json", ...condition };
  return ask(`/policy${query}`, { method: "PUT", headers, body: $("policy-text").value, accepted: [412] });
}

/** One thing at a time; what goes wrong is told. */
async function working(act) {
  const buttons = [$("policy-try"), $("policy-save")];
  tell("");
  const wrong = act === read ? "" : complaint($("policy-text").value);
  if (wrong) return tell(`This is not JSON: ${wrong}`);
  buttons.forEach((each) => (each.disabled = true));
  try {
    await act();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    say("");
    tell(words(error));
  } finally {
    buttons.forEach((each) => (each.disabled = false));
  }
}

async function close() {
  const sure = !unsaved() || await question({
    title: "Leave without putting it in force?", text: "What you have changed in the policy would be lost.",
    yes: "Discard my changes", no: "Go on editing", danger: true,
  });
  if (sure) $("policy-dialog").close();
}

function say(text) {
  $("policy-note").textContent = text;
}

function tell(text) {
  $("policy-problem").textContent = text;
}
