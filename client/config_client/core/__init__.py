"""The feed without I/O: no socket, no clock, no thread, no file. It imports the standard library and itself alone."""
