"""`/history/<key>`, `/rollback`: what was, and the way back to it. May import `http`, `auth` and `documents`."""
