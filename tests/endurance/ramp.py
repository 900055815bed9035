"""What a network carries: more and more is offered for some seconds each, until clearly less becomes final.

Twice in a row, since a busy machine makes anything slow for a moment.
"""

from __future__ import annotations

import time
from typing import Final

from blockchain.errors import BlockchainError
from blockchain.wallet import Wallet
from tests.endurance.payers import Pace
from tests.processes.network import Network

FIRST_RATE: Final = 50.0  # transactions a second
STEP: Final = 1.5
STEP_SECONDS: Final = 20.0
SETTLE_SECONDS: Final = 3.0  # of them, before it is counted
CARRIED_SHARE: Final = 0.9  # of what is offered
MISSES: Final = 2  # steps in a row
RATE_MAX: Final = 10_000.0


def carried_rate(net: Network, pace: Pace) -> float:
    """The most that became final, in transactions a second."""
    best = 0.0
    misses = 0
    pace.rate = FIRST_RATE
    while misses < MISSES and pace.rate <= RATE_MAX:
        time.sleep(SETTLE_SECONDS)
        rate = final_rate(net, STEP_SECONDS - SETTLE_SECONDS)
        best = max(best, min(rate, pace.rate))  # more was left over from the step before
        print(f"  offered {pace.rate:.0f} a second: {rate:.0f} a second become final", flush=True)
        misses = misses + 1 if rate < CARRIED_SHARE * pace.rate else 0
        pace.rate *= STEP
    return best


def final_rate(net: Network, seconds: float) -> float:
    began, before = time.monotonic(), final_count(net, net.wallets)
    time.sleep(seconds)
    return (final_count(net, net.wallets) - before) / (time.monotonic() - began)


def final_count(net: Network, wallets: list[Wallet]) -> int:
    """Of these accounts' transactions, as the first node that answers says: their nonces."""
    for node in net.nodes:
        try:
            return sum(node.client.account(wallet.address_text).nonce for wallet in wallets)
        except BlockchainError:
            continue
    raise AssertionError("no node answers")
