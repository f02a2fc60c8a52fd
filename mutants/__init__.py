"""Deliberate breaks of the protocol, one rule each, and who notices: `python -m mutants`. Never part of the service."""
