"""The HTTP contract, claim by claim, against the real application over a real cache on a real etcd."""
