// How a failure is told.

import { h } from "./dom.js";

const OUTCOMES = {
  "not done": " Nothing was changed.",
  unknown: " It may or may not have been done: read it again before you try again.",
};

/** What went wrong, and whether it happened; beneath, place by place, what is wrong with what was sent. */
export function words(error) {
  const told = `${error.message}${OUTCOMES[error.outcome] ?? ""}`;
  return error.errors.length > 1 ? `${told}\n${faults(error.errors)}` : told;
}

/** A line for each place. */
export function faults(errors) {
  return errors.map(({ pointer, expected }) => `${pointer || "(all of it)"}: expected ${expected}`).join("\n");
}

export function failed(error) {
  return h("p", { class: "failure", role: "alert" }, words(error));
}
