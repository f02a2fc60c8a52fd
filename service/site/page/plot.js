// Small line plots, drawn anew with each sample.

import { h, svg } from "./dom.js";
import { seconds as duration } from "./words.js";

const WIDTH = 300, HEIGHT = 64;
const LEAST = 60; // seconds

/** A figure that shows samples [seconds ago, value or null]. limit: a line to stay below, or null. */
export function plot(title, samples, { span, most, limit = null, format }) {
  const values = samples.map(([, value]) => value).filter((value) => value !== null);
  const top = Math.max(most, limit ?? 0, ...values) || 1;
  const width = Math.min(span, Math.max(LEAST, samples[0]?.[0] ?? 0)); // seconds: it grows until it is full
  const x = (ago) => WIDTH * (1 - ago / width);
  const y = (value) => HEIGHT - 2 - (HEIGHT - 4) * (value / top);
  const last = values.length ? format(values.at(-1)) : "–";
  const spoken = values.length
    ? `${title}: ${last} now, between ${format(Math.min(...values))} and ${format(Math.max(...values))} so far`
    : `${title}: nothing yet`;
  return h("figure", {},
    h("figcaption", {}, title, h("strong", {}, last)),
    svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": spoken },
      limit === null ? null : svg("line", { class: "limit", x1: 0, x2: WIDTH, y1: y(limit), y2: y(limit) }),
      lines(samples).map((line) =>
        svg("polyline", { class: "line", points: line.map(([ago, value]) => `${x(ago).toFixed(1)},${y(value).toFixed(1)}`).join(" ") }))),
    h("small", {}, h("span", {}, `${duration(width)} ago`), h("span", {}, `0 to ${format(top)}`)));
}

/** Runs of samples without a gap. */
function lines(samples) {
  const runs = [[]];
  for (const sample of samples) {
    if (sample[1] === null) runs.push([]);
    else runs.at(-1).push(sample);
  }
  return runs.filter((run) => run.length > 1);
}
