"""The decisions of the protocol, as values and pure functions: no clock, thread or socket. Imports itself alone."""
