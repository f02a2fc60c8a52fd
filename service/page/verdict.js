// The one sentence for the operator: is all well, and if not, what is it. Pure.

import { plural, seconds } from "./words.js";

/** Of all rows of /members/states: {level: "good" | "careful" | "bad", text}. */
export function verdict(rows) {
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
  if (troubles.length) return bad(`Of ${plural(rows.length, "instance", "instances")}: ${troubles.join(", ")}.`);
  const small = [];
  if (late.length) small.push(`${plural(late.length, "instance waits", "instances wait")} for a proof`);
  const blind = answering.filter((state) => !state.watch_up && state.slot !== null).length;
  if (blind) small.push(`${plural(blind, "instance has", "instances have")} no watch, reads are proven one by one`);
  if (without.length) small.push(`${plural(without.length, "instance serves", "instances serve")} uncached, without a slot`);
  const leaving = answering.filter((state) => state.draining).length;
  if (leaving) small.push(`${plural(leaving, "is", "are")} about to stop`);
  if (small.length) return careful(`${small.join("; ")}.`.replace(/^./, (first) => first.toUpperCase()));
  return { level: "good", text: `All is well: ${all} proven fresh within the last ${seconds(Math.max(oldest, 0.1))}.` };
}

function bad(text) {
  return { level: "bad", text };
}

function careful(text) {
  return { level: "careful", text };
}
