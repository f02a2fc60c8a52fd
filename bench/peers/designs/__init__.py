"""What one would build instead of this cache: four designs, each in its shortest honest form.

Each module says what its design guarantees and what it doesn't. All of them serve the same two requests
(`wsgi.application`) on the server that the service uses, and speak to etcd through the same generated stubs.
"""
