"""What people look at: the fleet page, `/docs` and openapi.yaml."""
