"""HTTPS: the certificate that an instance shows, its renewal, and how it trusts the others. No import of a server."""
