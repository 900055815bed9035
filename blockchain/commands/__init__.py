"""One file a command: `add_parser` says what it takes, `run` does it and returns the exit code.

What a command needs of the node it imports when it runs. What several share: `arguments` (flags), `keyring` (keys and
addresses as people name them), `text` (tables and short ids), `processes` (nodes as child processes).
"""
