"""Start a node: `python run_node.py --ip=localhost --node_port=8010 --api_port=8050 --key_file=FILE`."""

import sys

from blockchain.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
