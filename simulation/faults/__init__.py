"""Every kind of fault there is, by name: what a plan's steps are drawn from. A room for each of whom they befall.

kinds       what a fault is, and the usual shapes of one: harm, and its cure after some seconds
processes   the instances' own processes
etcd        the members, and what they hold
network     the way between instances and etcd
combined    several of these at moments that hurt
"""

from simulation.faults import combined, etcd, network, processes
from simulation.faults.kinds import Fault, Fleet

__all__ = ["APART", "FAULTS", "Fault", "Fleet"]

FAULTS: dict[str, Fault] = {**processes.FAULTS, **etcd.FAULTS, **network.FAULTS, **combined.FAULTS}

APART = {
    "acknowledgements put by hand",
    "all gone",
    "answered late, and untold",
    "forgotten before it is told",
    "leaves and hears nothing",
    "member key put by hand",
    "paused while writing",
    "unaudited",
    "unknown and untold",
}
"""Those that are drawn apart from the others, so that what else a seed decides is as it was without them."""
