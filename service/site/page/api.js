// Asks the service. Every request has a deadline; a token is kept in this module's memory and nowhere else.

import { exactly } from "./json_text.js";

const DEADLINE = 8000;
const LONGEST_EVENT = 1024 * 1024; // characters; one names a key

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

/**
 * What went wrong with a request. status: 0 when there was no answer. outcome, of a write: "not done", "unknown" or "".
 * kind: the last part of the problem's type. errors: what is wrong with what was sent, place by place.
 */
export class Failure extends Error {
  constructor(status, title, detail, outcome, kind = "", errors = []) {
    super(detail || title);
    this.status = status;
    this.title = title;
    this.outcome = outcome;
    this.kind = kind;
    this.errors = errors;
  }
}

/** The answer as {status, bytes, text, headers}. Throws Failure for everything but 2xx and the `accepted` statuses. */
export async function ask(path, { method = "GET", headers = {}, body, accepted = [], deadline = DEADLINE } = {}) {
  const sent = bearing(headers);
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

/**
 * Hears a stream of events, until it ends or `controller` ends it: heard({name, data, retry}) for each. Throws Failure
 * when there is none, when it breaks, and when nothing has come for `silence` ms.
 */
export async function listen(path, heard, controller, silence) {
  let timer = 0, reader, rest = "";
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => controller.abort(new Error("nothing has come for too long")), silence);
  };
  alive();
  try {
    reader = await streamed(path, controller.signal);
    for (;;) {
      const { done, value } = await unbroken(reader.read());
      if (done) return;
      alive();
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      if (rest.length > LONGEST_EVENT) throw new Failure(0, "No stream", "An event of the stream does not end.", "");
      events.map(eventIn).forEach(heard);
    }
  } finally {
    clearTimeout(timer);
    controller.abort(); // what is left of it, if `heard` has thrown
  }
}

async function streamed(path, signal) {
  const headers = bearing({ Accept: "text/event-stream" });
  const answer = await unbroken(fetch(path, { headers, signal, cache: "no-store", credentials: "omit" }));
  if (answer.ok) return answer.body.pipeThrough(new TextDecoderStream()).getReader();
  const failure = failureOf(answer, await unbroken(answer.text()));
  if (answer.status === 401) onDenied(failure);
  throw failure;
}

async function unbroken(promise) {
  try {
    return await promise;
  } catch (error) {
    throw new Failure(0, "No answer", `The service did not answer: ${error.message}`, "");
  }
}

/** Of a stream, as the service writes it: each field on one line. */
function eventIn(text) {
  const fields = Object.fromEntries(text.split("\n").map((line) => line.split(/: (.*)/s)));
  return {
    name: fields.event ?? "",
    data: fields.data === undefined ? null : parsed(fields.data),
    retry: fields.retry === undefined ? undefined : Number(fields.retry),
  };
}

/** Of the service; what is no JSON is of somebody else between it and us. */
function parsed(text) {
  try {
    return exactly(text);
  } catch {
    throw new Failure(0, "No answer", "What has come is not of the service: it is no JSON.", "");
  }
}

function bearing(headers) {
  return token ? { ...headers, Authorization: `Bearer ${token}` } : headers;
}

export async function askJson(path, options) {
  return parsed((await ask(path, options)).text);
}

/** A document's path. */
export function pathOf(key) {
  return `/config/${documentPath(key)}`;
}

/** The part of a path that names a document. */
export function documentPath(key) {
  return key.split("/").map(encodeURIComponent).join("/");
}

function failureOf(answer, text) {
  try {
    const problem = JSON.parse(text);
    const kind = `${problem.type ?? ""}`.split(":").pop();
    return new Failure(answer.status, problem.title, problem.detail, problem.outcome ?? "", kind, problem.errors ?? []);
  } catch {
    return new Failure(answer.status, answer.statusText, `The answer was ${answer.status}.`, "");
  }
}
