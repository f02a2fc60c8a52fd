// The one sentence for the operator: is all well, and if not, what is it. Pure.

import { brief, enumeration, plural, seconds } from "./words.js";

export const HELD = 0.5; // seconds by which a loop may be late, as in the alert ConfigLoopHeld
const NAMED = 3; // of those who were lost; the table has them all

/** Of what /members/states has said: {level: "good" | "careful" | "bad", text}. */
export function verdict({ members: rows, expected, departed }) {
  const lost = losses(rows, departed), gone = departed.filter(({ how }) => how === "back").length;
  const answering = rows.filter(({ state }) => state).map(({ state }) => state);
  const silent = rows.length - answering.length;
  const unproven = answering.filter((state) => !state.fresh);
  const late = answering.filter((state) => state.fresh && state.proof_age > 0.75 * state.bound);
  const without = answering.filter((state) => state.slot === null && !state.why_not);
  const away = answering.filter((state) => state.why_not);
  const oldest = Math.max(0, ...answering.map(({ proof_age }) => proof_age ?? 0));
  const all = `${rows.length === 1 ? "the only instance" : `all ${rows.length} instances`}`;

  if (away.length && away.length === answering.length)
    return bad(`${away[0].why_not}.`);
  if (unproven.length - without.length > 0 && unproven.length === answering.length)
    return bad(`etcd is away: no proof of freshness for ${seconds(oldest)}.`);
  if (late.length && late.length + unproven.length === answering.length)
    return careful(`etcd is slow or away: no proof of freshness for ${seconds(oldest)}.`);
  const troubles = [];
  if (silent) troubles.push(`${plural(silent, "instance does", "instances do")} not answer`);
  if (away.length) troubles.push(`${plural(away.length, "instance doesn't", "instances don't")} reach etcd`);
  const stale = unproven.length - without.length - away.filter((state) => !state.fresh).length;
  if (stale > 0) troubles.push(`${plural(stale, "instance has", "instances have")} no fresh proof`);
  const missing = expected > rows.length ? `${rows.length} of ${expected} expected instances ${rows.length === 1 ? "is" : "are"} here` : "";
  if (troubles.length || missing || lost.missing.length >= rows.length)
    return bad(sentences(
      missing,
      troubles.length ? `of ${plural(rows.length, "instance", "instances")}: ${troubles.join(", ")}` : "",
      told(lost.missing),
      missing || troubles.length ? "" : `${plural(rows.length, "instance is", "instances are")} left`));
  const small = [];
  if (late.length) small.push(`${plural(late.length, "instance waits", "instances wait")} for a proof`);
  const blind = answering.filter((state) => !state.watch_up && state.slot !== null).length;
  if (blind) small.push(`${plural(blind, "instance has", "instances have")} no watch, reads are proven one by one`);
  if (without.length) small.push(`${plural(without.length, "instance serves", "instances serve")} uncached, without a slot`);
  const held = answering.filter(({ loop_lag }) => loop_lag > HELD).map(({ loop_lag }) => loop_lag);
  if (held.length) small.push(`${plural(held.length, "instance is", "instances are")} held up, for ${brief(Math.max(...held))} at worst`);
  const leaving = answering.filter((state) => state.draining).length;
  if (leaving) small.push(`${plural(leaving, "is", "are")} about to stop`);
  // As many as are expected: then others have taken the place of those who were lost.
  if (lost.missing.length && !expected) small.unshift(told(lost.missing));
  if (small.length) return careful(sentences(...small));
  const well = `All is well: ${all} proven fresh within the last ${seconds(Math.max(oldest, 0.1))}`;
  const replaced = lost.replaced.length + (expected ? lost.missing.length : 0);
  return { level: "good", text: sentences(
    well,
    replaced ? `${plural(replaced, "instance was", "instances were")} lost within the last hour, and replaced` : "",
    gone ? `${plural(gone, "instance was", "instances were")} lost for a while, and back` : "") };
}

/** Those who were lost: at the address of some another serves again (`replaced`), of the others none does. */
function losses(rows, departed) {
  const here = new Set(rows.map(({ address }) => address).filter(Boolean));
  const lost = departed.filter(({ how }) => how === "lost");
  return { replaced: lost.filter(({ address }) => here.has(address)), missing: lost.filter(({ address }) => !here.has(address)) };
}

function told(lost) {
  if (!lost.length) return "";
  const names = lost.slice(0, NAMED).map(({ address, slot }) => address || `slot ${slot ?? "none"}`);
  if (lost.length > NAMED) names.push(`${lost.length - NAMED} more`);
  return `${plural(lost.length, "instance was", "instances were")} lost, the last ${seconds(lost[0].seconds_ago)} ago: ${enumeration(names)}`;
}

function sentences(...parts) {
  return parts.filter(Boolean).map((part) => `${part.replace(/^./, (first) => first.toUpperCase())}.`).join(" ");
}

function bad(text) {
  return { level: "bad", text };
}

function careful(text) {
  return { level: "careful", text };
}
