// Questions to the operator, as <dialog>s: Escape and "Cancel" mean no. One at a time.

import { $, fill } from "./dom.js";

const asked = new WeakMap(); // the answer under way of a dialog that has not said yet that it is closed

/**
 * Asks for a confirmation, or, with a label, for a line of text. Resolves to true or the text; null for no. danger: yes
 * takes something away. Whoever only presses Enter has said no, unless there was something to be written.
 */
export function question({ title, text, yes, no = "Cancel", danger = false, label = "", value = "" }) {
  return whenFree($("question"), (dialog) => {
    const input = $("question-input");
    $("question-title").textContent = title;
    fill($("question-text"), text);
    $("question-yes").textContent = yes;
    $("question-yes").className = danger ? "danger" : "main";
    $("question-no").textContent = no;
    $("question-label").textContent = label;
    $("question-label").hidden = input.hidden = !label;
    input.value = value;
    return answered(dialog, $("question-no"), () => (label ? input.value : true), label ? input : $("question-no"));
  });
}

/** Asks for a token; null when there is none to be had. */
export function askForToken(why) {
  return whenFree($("token-dialog"), (dialog) => {
    const input = $("token");
    $("token-why").textContent = why;
    input.value = "";
    return answered(dialog, $("token-cancel"), () => {
      const given = input.value.trim();
      input.value = "";
      return given || null;
    }, input);
  });
}

/**
 * Asks, unless the dialog asks somebody already: then null. 1. It closes, and says so a moment later. 2. If it were opened in
 * between, the new question would take that for its own end, and hear none of its buttons. So it waits for that moment.
 */
function whenFree(dialog, ask) {
  if (dialog.open) return Promise.resolve(null);
  return asked.get(dialog)?.then(() => whenFree(dialog, ask)) ?? ask(dialog);
}

function answered(dialog, no, value, first) {
  const answer = new Promise((resolve) => {
    const form = dialog.querySelector("form");
    let given = null;
    const finish = new AbortController();
    const on = (target, event, listener) => target.addEventListener(event, listener, { signal: finish.signal });
    on(form, "submit", (event) => {
      event.preventDefault();
      given = value();
      dialog.close();
    });
    on(no, "click", () => dialog.close());
    on(dialog, "close", () => {
      finish.abort();
      asked.delete(dialog);
      resolve(given);
    });
    dialog.showModal();
    first.focus();
  });
  asked.set(dialog, answer);
  return answer;
}
