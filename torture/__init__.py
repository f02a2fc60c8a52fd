"""Real faults on a real fleet, and a judge of every answer: `python -m torture`. Nothing here is part of the service.

`schedule` decides the faults, `world` brings them about, `workload` and its clients write down what they saw, `truth`
is what really happened, and `checker` holds the one against the other.
"""
