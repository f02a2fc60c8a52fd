"""Running the service away from a single terminal: a fleet on one machine, and what watches over one."""
