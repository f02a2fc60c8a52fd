// Asks the service. Every request has a deadline; a token is kept in this module's memory and nowhere else.

import { exactly } from "./json_text.js";

const DEADLINE = 8000;

let token = "";
let onDenied = () => {};

export function useToken(given) {
  token = given;
}

export function hasToken() {
  return token !== "";
}

/** Who is told when the service asks for a token, or refuses the one it got: (status, detail). */
export function whenDenied(listener) {
  onDenied = listener;
}

/** What went wrong with a request. status: 0 when there was no answer. outcome, of a write: "not done", "unknown" or "". */
export class Failure extends Error {
  constructor(status, title, detail, outcome) {
    super(detail || title);
    this.status = status;
    this.title = title;
    this.outcome = outcome;
  }
}

/** The answer as {status, bytes, text, headers}. Throws Failure for everything but 2xx and the `accepted` statuses. */
export async function ask(path, { method = "GET", headers = {}, body, accepted = [], deadline = DEADLINE } = {}) {
  const sent = token ? { ...headers, Authorization: `Bearer ${token}` } : headers;
  const signal = AbortSignal.timeout(deadline);
  let answer, bytes;
  try {
    answer = await fetch(path, { method, headers: sent, body, signal, cache: "no-store", credentials: "omit" });
    bytes = await answer.arrayBuffer();
  } catch (error) {
    const outcome = method === "GET" ? "" : "unknown";
    throw new Failure(0, "No answer", `The service did not answer: ${error.message}`, outcome);
  }
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  if (answer.ok || accepted.includes(answer.status)) return { status: answer.status, bytes, text, headers: answer.headers };
  const failure = failureOf(answer, text);
  if (method === "GET") failure.outcome = ""; // there was nothing to be done
  if (answer.status === 401) onDenied(failure);
  throw failure;
}

export async function askJson(path, options) {
  return exactly((await ask(path, options)).text);
}

/** A document's path. */
export function pathOf(key) {
  return `/config/${key.split("/").map(encodeURIComponent).join("/")}`;
}

function failureOf(answer, text) {
  try {
    const problem = JSON.parse(text);
    return new Failure(answer.status, problem.title, problem.detail, problem.outcome ?? "");
  } catch {
    return new Failure(answer.status, answer.statusText, `The answer was ${answer.status}.`, "");
  }
}
