"""Rules of value: what a transaction does to the state. Never imports `consensus`."""
