"""What is installed of config-service: one package with a directory, `app`, that Python runs as it runs a checkout."""
