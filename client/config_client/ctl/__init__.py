"""`configctl`, the command line. Needs the extra `cli`; the library needs nothing of it."""
