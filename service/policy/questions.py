"""The questions to the process that checks schemas, and what an answer may cost. Both sides read it here.

A question: one byte of kind, the digest of the schema, and two lengths; then the schema, if it is given, and the
document. An answer: a length, and JSON. A schema is known again by its digest.
"""

from __future__ import annotations

import struct

QUESTION = struct.Struct("!c32sII")
ANSWER = struct.Struct("!I")
HOLD = b"h"
"""Kind: hold the document against the schema. Answers {"unknown": true}, or {"faults": [[pointer, expected], …]}."""
LEARN = b"l"
"""Kind: whether the schema is one. Answers {"faults": …}, with pointers within the schema."""

LIMIT = 0.5
"""Seconds of processor time for a question. A document of 1 MiB takes some hundredths with most schemas."""

MEMORY = 192 * 1024**2
"""Bytes of data. A document of 1 MiB may become 60 MB."""

FAILED = 3
"""Exit code: a question made this fail, by taking too much memory for one."""
