"""`python -m blockchain …`: the same as the command `blockchain` of an installed package."""

import sys

from blockchain.cli import main

if __name__ == "__main__":
    sys.exit(main())
