"""Several instances on one machine: one supervisor, and workers that are instances, each with a slot of its own."""
