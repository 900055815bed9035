"""The paths, by subject. Each is written once with its trailing slash and works without it, with no redirect."""
