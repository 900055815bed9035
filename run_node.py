"""Start a node: `python run_node.py --ip=localhost --node_port=8010 --api_port=8050 --key_file=FILE`."""

import os
import signal
import sys

for _name in ("SIGINT", "SIGTERM"):  # while the program is loaded, a signal ends it without a word
    signal.signal(getattr(signal, _name), lambda *_: os._exit(0))

from blockchain.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
