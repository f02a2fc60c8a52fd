// JSON as it is written: tokens, never values. Nothing is evaluated here, so nothing can be lost: numbers keep their
// digits, members their order, their doubles and their escapes.

const STRING = String.raw`"[^"\\\x00-\x1f]*(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*)*"`;
const TOKEN = new RegExp(String.raw`[ \t\n\r]+|[[\]{},:]|${STRING}|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null`, "y");
const STRING_OR_RETURN = new RegExp(`${STRING}|\r`, "g"), STRING_OR_SIGN = new RegExp(`${STRING}|\u240d`, "g");

const LONGEST = 4_000_000; // characters: deep documents grow a hundredfold when they are indented
const MOST_COLOURED = 20_000; // tokens

/** What is wrong with a text that is no JSON, in the browser's words; empty if it is. The value is not looked at. */
export function complaint(text) {
  try {
    JSON.parse(text);
    return "";
  } catch (error) {
    return error.message;
  }
}

/** [kind, text] of each token, space too; kinds: space, mark, string, number, literal. Null for what is no JSON. */
export function tokens(text) {
  if (complaint(text)) return null;
  const found = [];
  for (TOKEN.lastIndex = 0; TOKEN.lastIndex < text.length;) {
    const [written] = TOKEN.exec(text);
    found.push([kindOf(written[0]), written]);
  }
  return found;
}

function kindOf(first) {
  if (first === '"') return "string";
  if ("[]{},:".includes(first)) return "mark";
  if (" \t\n\r".includes(first)) return "space";
  return "tfn".includes(first) ? "literal" : "number";
}

/** The same document with other space between its tokens. Null for what is no JSON, and for what would be too long. */
export function indented(text) {
  const parts = tokens(text)?.filter(([kind]) => kind !== "space").map(([, written]) => written);
  if (!parts) return null;
  let depth = 0, made = "", before = "";
  for (const part of parts) {
    if (part === "]" || part === "}") {
      depth--;
      if (before !== "[" && before !== "{") made += line(depth);
    } else if (before === "[" || before === "{" || before === ",") made += line(depth);
    made += part === ":" ? ": " : part;
    if (part === "[" || part === "{") depth++;
    if (made.length > LONGEST) return null;
    before = part;
  }
  return made;
}

function line(depth) {
  return `\n${"  ".repeat(depth)}`;
}

/** As it is read: whoever wrote it in several lines has formatted it, anything else is indented. */
export function readable(text) {
  return text.trim().includes("\n") ? text : comparable(text);
}

/** As it is compared, line by line. */
export function comparable(text) {
  return indented(text) ?? text;
}

/** [kind, text] of the pieces that have a colour each, kind null for none. Together they are the text. */
export function coloured(text) {
  const found = text.length > LONGEST ? null : tokens(text);
  if (!found || found.length > MOST_COLOURED) return [[null, text]];
  return found.map(([kind, written], at) => {
    if (kind === "space" || kind === "mark") return [null, written];
    return [kind === "string" && isName(found, at) ? "name" : kind, written];
  });
}

function isName(found, at) {
  const next = found[at + 1]?.[0] === "space" ? at + 2 : at + 1;
  return found[next]?.[1] === ":";
}

/** For a text field, which turns each carriage return into a line feed: as signs. In JSON they are never in strings. */
export function withSigns(text) {
  return text.replace(STRING_OR_RETURN, (found) => (found === "\r" ? "\u240d" : found));
}

/** The other way round, exactly: outside of strings, JSON has no such sign. */
export function withReturns(text) {
  return text.replace(STRING_OR_SIGN, (found) => (found === "\u240d" ? "\r" : found));
}

/** A value of the service's own answers. Integers of sixteen digits and more come as strings: no number holds them. */
export function exactly(text) {
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  const quoted = tokens(text)?.map(([kind, written]) => (kind === "number" && /^-?\d{16,}$/.test(written) ? `"${written}"` : written));
  return JSON.parse(quoted?.join("") ?? text);
}
