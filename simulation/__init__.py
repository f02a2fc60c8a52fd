"""The real code under a clock, a network and an etcd that a seed decides: `make simulate SEEDS=100`, `SEED=7`.

A run is one process, one thread, one loop in virtual time. See docs/simulation.md.
"""
