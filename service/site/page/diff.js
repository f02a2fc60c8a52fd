// Which lines of two texts differ. Longest common subsequence, within a bound: beyond it, all of the middle differs.

const LARGEST = 4_000_000;

/** Rows {left, right, same}: lines side by side, null where one side has none. */
export function diff(before, after) {
  const a = before.split("\n"), b = after.split("\n");
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const rows = [];
  for (let i = 0; i < head; i++) rows.push({ left: a[i], right: b[i], same: true });
  rows.push(...middle(a.slice(head, a.length - tail), b.slice(head, b.length - tail)));
  for (let i = tail; i > 0; i--) rows.push({ left: a[a.length - i], right: b[b.length - i], same: true });
  return rows;
}

function middle(a, b) {
  if (a.length * b.length > LARGEST) return paired(a, b);
  const lengths = table(a, b), rows = [];
  let left = [], right = [], i = 0, j = 0;
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) {
      rows.push(...paired(left, right), { left: a[i++], right: b[j++], same: true });
      [left, right] = [[], []];
    } else if (lengths[i + 1][j] >= lengths[i][j + 1]) left.push(a[i++]);
    else right.push(b[j++]);
  }
  return [...rows, ...paired([...left, ...a.slice(i)], [...right, ...b.slice(j)])];
}

/** lengths[i][j]: of the longest common subsequence of a from i and b from j. */
function table(a, b) {
  const lengths = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      lengths[i][j] = a[i] === b[j] ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
  return lengths;
}

function paired(left, right) {
  const rows = [];
  for (let i = 0; i < Math.max(left.length, right.length); i++)
    rows.push({ left: left[i] ?? null, right: right[i] ?? null, same: false });
  return rows;
}
