"""The client where frameworks expect it: each module here belongs to one of them, and is imported for it alone."""
