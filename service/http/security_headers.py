"""What every answer tells browsers, which may be shown it as a page, whatever its type.

A document is somebody's text: it must not be taken for a script or a page (nosniff), load or run anything (CSP), be
framed by others, or tell where a link was followed from.
"""

from __future__ import annotations

SECURITY_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
)
