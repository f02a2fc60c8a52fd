// Shows the fleet: figures, plots, 64 slots, and below all else tables of the instances. Knows nothing of requests.
//
// What is above the keys is as high before anything is known as afterwards, and however many instances there are:
// whoever aims at a key would miss it if they moved.

import { $, h, refresh, say } from "./dom.js";
import { Minutes, processOf, SPAN, sum } from "./history.js";
import { plot } from "./plot.js";
import { latest, revision } from "./revisions.js";
import { HELD, verdict } from "./verdict.js";
import { brief, bytes, clock, count, percent, plural, rate, seconds, since } from "./words.js";

const SLOTS = 64;

const minutes = new Minutes();
let heardAt = null;

const SAME = 100; // ms: what is heard again, of the same moment, says nothing new

/** Takes the room of what is not known yet. */
export function start() {
  refresh($("figures"), FIGURES.map((name) => figure(name, "–")));
  refresh($("slots"), Array.from({ length: SLOTS }, (_, number) => place(number, "not known yet", "unknown")));
  draw(Date.now(), []);
}

/** Draws what /members/states has said, which was so `age` seconds ago. */
export function show({ age, me, members, expected, departed }) {
  const now = Date.now() - age * 1000;
  if (heardAt !== null && now - heardAt < SAME && !document.body.classList.contains("stale")) return;
  if (heardAt === null) minutes.begin(members, now);
  const moment = minutes.add(members, now);
  heardAt = new Date(now);
  document.body.classList.remove("stale");
  tell(verdict({ members, expected, departed }));
  refresh($("figures"), figures(members, moment, expected));
  refresh($("slots"), slots(members, me));
  refresh($("members"), table(members, moment.each));
  $("departed-details").hidden = departed.length === 0;
  refresh($("departed"), goneTable(departed));
  draw(now, members);
}

/** Whether the last minutes are still to be asked for. */
export function isNew() {
  return heardAt === null;
}

/** Nothing was heard: says since when, and greys out what is shown. */
export function lost(why) {
  minutes.miss(Date.now());
  document.body.classList.add("stale");
  const shown = heardAt ? ` What is shown is from ${clock(heardAt)}.` : "";
  tell({ level: "bad", text: `The service does not answer (${why}).${shown}` });
}

/** The service wants a token, or another one, for this. */
export function closed(detail) {
  document.body.classList.add("stale");
  tell({ level: "careful", text: `The fleet is shown only with a token: ${detail}` });
}

function tell({ level, text }) {
  $("verdict").className = `verdict ${level}`;
  say($("verdict"), text);
}

function draw(now, members) {
  const bound = Math.max(0, ...members.map(({ state }) => state?.bound ?? 0));
  refresh($("plots"),
    plot("Requests", minutes.line("rate", now), { span: SPAN, most: 1, format: rate }),
    plot("Hit ratio", minutes.line("ratio", now), { span: SPAN, most: 1, format: percent }),
    plot("Oldest proof", minutes.line("age", now), { span: SPAN, most: bound, limit: bound || null, format: seconds }));
}

const FIGURES = [
  "Instances", "Slots held", "Oldest proof", "Horizon", "Hit ratio", "Requests", "Loop lag", "Watches up", "Oldest lease",
];

function figures(members, moment, expected) {
  const states = members.filter(({ state }) => state).map(({ state }) => state);
  const newest = newestHorizon(members);
  const behind = Number(states.map(({ horizon }) => newest - revision(horizon)).reduce((a, b) => (b > a ? b : a), 0n));
  const held = members.filter(({ slot }) => slot !== null).length;
  const watching = states.filter(({ watch_up }) => watch_up).length;
  const lags = states.filter(({ loop_lag }) => loop_lag !== undefined).map(({ loop_lag }) => loop_lag);
  const leases = states.filter((state) => state.lease_age !== null).map(({ lease_age }) => lease_age);
  const told = [
    [count(members.length), expected ? `of ${count(expected)} expected` : ""],
    [`${held} of ${SLOTS}`, held < members.length ? `${members.length - held} without a slot` : ""],
    [seconds(moment.age), `of ${seconds(Math.max(0, ...states.map(({ bound }) => bound)))} allowed`],
    [count(newest), behind ? `slowest ${plural(behind, "revision", "revisions")} behind` : "nobody behind"],
    [percent(minutes.ratio()), "over these minutes"],
    [rate(moment.rate), "for documents"],
    [lags.length ? brief(Math.max(...lags)) : "not told", lags.length ? "at worst, of late" : ""],
    [`${watching} of ${states.length}`, ""],
    [leases.length ? seconds(Math.max(...leases)) : "none", leases.length ? "since it was renewed" : ""],
  ];
  return told.map(([value, more], number) => figure(FIGURES[number], value, more));
}

function figure(name, value, more) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value, h("small", {}, more)));
}

export function newestHorizon(members) {
  return latest(members.map(({ state }) => revision(state?.horizon)));
}

function slots(members, me) {
  const held = new Map(members.filter(({ slot }) => slot !== null).map((row) => [row.slot, row]));
  return Array.from({ length: SLOTS }, (_, number) => {
    const row = held.get(number), name = String(number).padStart(2, "0");
    if (!row) return place(number, "free", "free");
    const [level, words] = health(row);
    const title = `${name}: ${row.address || "no address"}, ${words}, since ${since(row.started)}${number === me ? ", this instance" : ""}`;
    return h("li", { class: `${level}${number === me ? " me" : ""}`, title },
      h("span", { class: "unseen" }, title), h("span", { "aria-hidden": "true" }, name));
  });
}

/** A slot that nobody is known to hold. */
function place(number, words, kind) {
  const name = String(number).padStart(2, "0");
  return h("li", { class: kind }, h("span", { class: "unseen" }, `${name}, ${words}`), h("span", { "aria-hidden": "true" }, name));
}

/** [level, words] of one instance. */
function health({ state, why_not: whyNot }) {
  if (!state) return ["bad", whyNot];
  if (state.why_not) return ["bad", state.why_not.split(":")[0]];
  if (state.draining) return ["careful", "about to stop"];
  if (state.slot === null) return ["careful", "serves uncached: it holds no slot"];
  if (!state.fresh) return ["bad", "no fresh proof"];
  if (!state.watch_up) return ["careful", "fresh, its watch is down"];
  if (state.loop_lag > HELD) return ["careful", `fresh, held up for ${brief(state.loop_lag)}`];
  return ["good", "fresh"];
}

const COLUMNS = ["Slot", "State", "Address", "Since", "Behind", "Proof", "Lease", "Hits", "Requests", "In memory"];

function table(members, each) {
  const newest = newestHorizon(members);
  return [
    h("thead", {}, h("tr", {}, COLUMNS.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, members.map((row) => line(row, newest, each.get(processOf(row))))),
  ];
}

function line(row, newest, moment) {
  const [level, words] = health(row), { me, state } = row;
  const behind = state ? Number(newest - revision(state.horizon)) : 0;
  const cells = state
    ? [
        behind ? plural(behind, "revision", "revisions") : "–",
        seconds(state.proof_age),
        state.lease_age === null ? "–" : seconds(state.lease_age),
        percent(moment?.ratio ?? (sum(state.reads) ? state.reads.hit / sum(state.reads) : null)),
        rate(moment?.rate ?? null),
        `${count(state.entries)}, ${bytes(state.bytes)}`,
      ]
    : Array(6).fill("");
  return h("tr", { class: me ? "me" : null },
    h("th", { scope: "row" }, row.slot === null ? "–" : String(row.slot).padStart(2, "0"), me ? [" ", h("small", {}, "this one")] : []),
    h("td", {}, h("span", { class: `dot ${level}`, "aria-hidden": "true" }), words),
    h("td", {}, row.address || "–"),
    h("td", { title: row.started }, since(row.started)),
    cells.map((text) => h("td", { class: "number" }, text)));
}

const HOW = {
  left: ["good", "left in order"],
  lost: ["bad", "lost: killed, hung or cut off"],
  back: ["careful", "lost for a while, and back"],
};

function goneTable(departed) {
  return [
    h("thead", {}, h("tr", {}, ["Gone", "How", "Slot", "Address", "Started", "Release"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, departed.map(goneLine)),
  ];
}

function goneLine({ slot, how, at, seconds_ago: ago, address, description }) {
  const [level, words] = HOW[how];
  return h("tr", {},
    h("th", { scope: "row", title: at }, `${seconds(ago)} ago`),
    h("td", {}, h("span", { class: `dot ${level}`, "aria-hidden": "true" }), words),
    h("td", {}, slot === null ? "–" : String(slot).padStart(2, "0")),
    h("td", {}, address || "–"),
    h("td", { title: String(description.started ?? "") }, description.started ? `${since(description.started)} ago` : "–"),
    h("td", {}, String(description.version ?? "–")));
}
