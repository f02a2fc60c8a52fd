// What the fleet did over the last minutes, from the counts that each instance tells: at first those that the instances
// have kept themselves, then what this page has seen.

export const SPAN = 300;
const STEP = 5; // seconds between the samples that instances keep

export class Minutes {
  #before = new Map(); // the last counts of each process
  #samples = [];

  /** What was before this page was opened: of rows whose states have `recent`. */
  begin(rows, now) {
    const steps = Array.from({ length: SPAN / STEP }, () => ({ requests: 0, reads: 0, hits: 0, ages: [], known: false }));
    for (const { state } of rows) {
      const samples = state?.recent ?? [];
      for (let index = 1; index < samples.length; index++) {
        const [before, after] = [samples[index - 1], samples[index]];
        const step = steps[Math.floor(after[0] / STEP)];
        if (!step) continue;
        step.known = true;
        step.requests += (after[1] - before[1]) / Math.max(1, before[0] - after[0]);
        step.reads += after[2] - before[2];
        step.hits += after[3] - before[3];
        if (after[4] !== null) step.ages.push(after[4]);
      }
    }
    this.#samples = steps.map((step, index) => ({
      at: now - index * STEP * 1000,
      rate: step.known ? step.requests : null,
      ratio: step.reads ? step.hits / step.reads : null,
      age: step.ages.length ? Math.max(...step.ages) : null,
    })).filter((sample, index) => steps[index].known).reverse();
  }

  /** One more look: rows as /members/states has them, at `now` in ms. Gives what happened since the last one. */
  add(rows, now) {
    let reads = 0, hits = 0, requests = 0, known = false, elapsed = 0;
    const current = new Map(), each = new Map();
    for (const row of rows) {
      const { state } = row;
      if (!state) continue;
      const name = processOf(row);
      const counts = { at: now, requests: state.requests, hits: state.reads.hit, reads: sum(state.reads) };
      current.set(name, counts);
      const before = this.#before.get(name);
      if (!before || before.requests > counts.requests) continue;
      known = true;
      elapsed = Math.max(elapsed, (now - before.at) / 1000);
      const own = { requests: counts.requests - before.requests, reads: counts.reads - before.reads, hits: counts.hits - before.hits };
      requests += own.requests;
      reads += own.reads;
      hits += own.hits;
      each.set(name, { rate: per(own.requests, (now - before.at) / 1000), ratio: own.reads ? own.hits / own.reads : null });
    }
    this.#before = current;
    const ages = rows.filter(({ state }) => state && state.proof_age !== null).map(({ state }) => state.proof_age);
    this.#samples.push({
      at: now,
      rate: known ? per(requests, elapsed) : null,
      ratio: reads ? hits / reads : null,
      age: ages.length ? Math.max(...ages) : null,
    });
    this.#samples = this.#samples.filter((sample) => now - sample.at <= SPAN * 1000);
    return { ...this.#samples.at(-1), each };
  }

  /** Nothing was heard: a gap in every line. */
  miss(now) {
    this.#samples.push({ at: now, rate: null, ratio: null, age: null });
  }

  /** [seconds ago, value] of one line. */
  line(name, now) {
    return this.#samples.map((sample) => [(now - sample.at) / 1000, sample[name]]);
  }

  /** The hit ratio of all that is kept, weighing each look alike; null when nothing was read. */
  ratio() {
    const found = this.#samples.map(({ ratio }) => ratio).filter((ratio) => ratio !== null);
    return found.length ? found.reduce((a, b) => a + b) / found.length : null;
  }
}

/** What tells one process from all others, which have other counts. */
export function processOf({ address, started }) {
  return `${address} ${started}`;
}

export function sum(reads) {
  return Object.values(reads).reduce((a, b) => a + b, 0);
}

function per(number, seconds) {
  return seconds > 0 ? number / seconds : null;
}
