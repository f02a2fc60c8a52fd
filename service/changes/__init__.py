"""`/changes`: clients are told of changes, by a long poll or by a stream. May import `http`, `auth` and `documents`."""
