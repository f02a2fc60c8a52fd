"""The life of the process: start, the parts put together, logs, the end."""
