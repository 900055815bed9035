"""The other shell: a deterministic world for the production core. Never imports `runtime`."""
