"""HTTP as values: requests in, answers out, and the server that carries them. Knows no route."""
