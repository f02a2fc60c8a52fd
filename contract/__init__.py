"""A live service held against its own description, openapi.yaml: `python -m contract`. Never part of the service."""
