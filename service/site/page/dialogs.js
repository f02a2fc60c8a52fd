// Questions to the operator, as <dialog>s: Escape and "Cancel" mean no. One at a time.

import { $, fill } from "./dom.js";

/**
 * Asks for a confirmation, or, with a label, for a line of text. Resolves to true or the text; null for no. danger: yes
 * takes something away. Whoever only presses Enter has said no, unless there was something to be written.
 */
export function question({ title, text, yes, no = "Cancel", danger = false, label = "", value = "" }) {
  const dialog = $("question"), input = $("question-input");
  $("question-title").textContent = title;
  fill($("question-text"), text);
  $("question-yes").textContent = yes;
  $("question-yes").className = danger ? "danger" : "main";
  $("question-no").textContent = no;
  $("question-label").textContent = label;
  $("question-label").hidden = input.hidden = !label;
  input.value = value;
  return answered(dialog, $("question-no"), () => (label ? input.value : true), label ? input : $("question-no"));
}

/** Asks for a token; null when there is none to be had. */
export function askForToken(why) {
  const input = $("token");
  $("token-why").textContent = why;
  input.value = "";
  return answered($("token-dialog"), $("token-cancel"), () => {
    const given = input.value.trim();
    input.value = "";
    return given || null;
  }, input);
}

function answered(dialog, no, value, first) {
  if (dialog.open) return Promise.resolve(null);
  return new Promise((resolve) => {
    const form = dialog.querySelector("form");
    let answer = null;
    const finish = new AbortController();
    const on = (target, event, listener) => target.addEventListener(event, listener, { signal: finish.signal });
    on(form, "submit", (event) => {
      event.preventDefault();
      answer = value();
      dialog.close();
    });
    on(no, "click", () => dialog.close());
    on(dialog, "close", () => {
      finish.abort();
      resolve(answer);
    });
    dialog.showModal();
    first.focus();
  });
}
