"""How fast, beside whom: ratios against peers that run on the same machine at the same time. `python -m bench`.

Absolute figures move from run to run and from machine to machine; what is compared here is measured in turns, in one
run. Nothing here is part of the service.
"""
