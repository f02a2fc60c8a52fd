// What the fleet did over the last minutes, from the counts that each instance tells: kept by this page, while it is open.

export const SPAN = 300;

export class Minutes {
  #before = new Map(); // the last counts of each process
  #samples = [];

  /** One more look: rows as /members/states has them, at `now` in ms. Gives what happened since the last one. */
  add(rows, now) {
    let reads = 0, hits = 0, requests = 0, known = false, elapsed = 0;
    const current = new Map(), each = new Map();
    for (const { slot, address, started, state } of rows) {
      if (!state) continue;
      const name = `${address} ${started}`; // another process has other counts
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
      each.set(slot, { rate: per(own.requests, (now - before.at) / 1000), ratio: own.reads ? own.hits / own.reads : null });
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

export function sum(reads) {
  return Object.values(reads).reduce((a, b) => a + b, 0);
}

function per(number, seconds) {
  return seconds > 0 ? number / seconds : null;
}
