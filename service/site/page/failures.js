// How a failure is told.

import { h } from "./dom.js";

const OUTCOMES = {
  "not done": " Nothing was changed.",
  unknown: " It may or may not have been done: read it again before you try again.",
};

/** What went wrong, and whether it happened. */
export function words(error) {
  return `${error.message}${OUTCOMES[error.outcome] ?? ""}`;
}

export function failed(error) {
  return h("p", { class: "failure", role: "alert" }, words(error));
}
