"""What an instance tells Prometheus: events in, exposition out.

Knows the events and terms of the protocol and nothing else of it; the only package that imports prometheus_client.
Every metric is described in docs/metrics.md.
"""

from metrics.instruments import Instruments, Totals

__all__ = ["Instruments", "Totals"]
