"""The decisions of the protocol by themselves."""
