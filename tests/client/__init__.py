"""The client library and configctl."""
