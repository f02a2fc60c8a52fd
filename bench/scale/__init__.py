"""What a fleet costs its etcd, counted and not timed: 1 to 64 real instances, ours and what one would build instead.

Every figure comes from etcd's own metrics, so that a slow or busy machine changes none of them but where time itself
is what costs (idle, and a cache that forgets). `python -m bench.scale`.
"""
