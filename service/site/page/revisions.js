// Revisions are BigInts: etcd counts to 2^63, and an etcd restored with its revision bumped may begin anywhere.

/** Of what an answer or a header says; 0 for nothing. */
export function revision(said) {
  return BigInt(said || 0);
}

/** The greatest; 0 of none. */
export function latest(revisions) {
  return revisions.reduce((a, b) => (b > a ? b : a), 0n);
}
