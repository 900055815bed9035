"""The core of the node, still pure: inputs in, effects out. It does no I/O, reads no clock, draws no randomness."""
