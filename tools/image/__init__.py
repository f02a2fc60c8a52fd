"""Tries the image without Docker: `make container-check`. docs/container.md says what it shows and what it can't."""
