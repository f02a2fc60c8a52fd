// Why something is changed: asked for when the policy wants to be told, and sent with the write that it is for.

import { Failure } from "./api.js";
import { question } from "./dialogs.js";

const MOST = 500; // characters

/** What `send(headers)` comes to, with a reason if it takes one. Who gives none is told what the service has said. */
export async function withReason(send) {
  try {
    return await send({});
  } catch (error) {
    if (!(error instanceof Failure) || error.kind !== "reason-required") throw error;
    const why = await question({
      title: "Why is this changed?", text: "The policy wants a reason. Whoever is told of the change is told it, too.",
      label: "Reason", yes: "Go on",
    });
    if (!why?.trim()) throw error;
    return send({ "X-Change-Reason": encodeURIComponent(why.trim().slice(0, MOST)) });
  }
}
