"""Send the seven sample transactions to a node of the demo chain: `python sample_transactions.py [--url=URL]`."""

import sys

from blockchain.cli import main

if __name__ == "__main__":
    sys.exit(main(["sample", *sys.argv[1:]]))
