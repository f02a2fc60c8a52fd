// Numbers and moments as people read them.

/** Seconds, with as many digits as matter. */
export function seconds(value) {
  if (value === null || value === undefined) return "none yet";
  if (value < 10) return `${value.toFixed(1)} s`;
  if (value < 120) return `${Math.round(value)} s`;
  if (value < 7200) return `${Math.round(value / 60)} min`;
  if (value < 172800) return `${Math.round(value / 3600)} h`;
  return `${Math.round(value / 86400)} days`;
}

export function count(value) {
  return value.toLocaleString("en");
}

export function rate(value) {
  return value === null ? "–" : `${value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en")}/s`;
}

/** 0.5 is "50 %". Never rounded up to 100. */
export function percent(value) {
  if (value === null) return "–";
  return `${(Math.floor(value * 1000) / 10).toFixed(value > 0.99 && value < 1 ? 1 : 0)} %`;
}

export function bytes(value) {
  if (value < 1000) return `${value} B`;
  return value < 1e6 ? `${(value / 1e3).toFixed(0)} kB` : `${(value / 1e6).toFixed(1)} MB`;
}

export function clock(date) {
  return date.toTimeString().slice(0, 8);
}

/** How long ago an ISO moment was, by this machine's clock. */
export function since(moment) {
  const then = Date.parse(moment);
  return Number.isNaN(then) ? "" : seconds(Math.max(0, (Date.now() - then) / 1000));
}

/** Of what is short, most of the time. */
export function brief(value) {
  return value < 1 ? `${Math.round(value * 1000)} ms` : seconds(value);
}

export function plural(number, one, several) {
  return `${number} ${number === 1 ? one : several}`;
}

/** "a", "a and b", "a, b and c". */
export function enumeration(names) {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}
