"""Validators that change their stake while all goes on, a unit up and a unit down, so that sets of heights differ.

Each asks its own node, and goes on after whatever the node said: a refusal with a reason is an answer. What is taken
back stays bound for longer than a network is played, and an account has room for `UNBONDING_MAX` such amounts: a change
beyond that would wait for an hour in all pools, and all that comes after it.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from blockchain.client import Client, RequestRefused
from blockchain.errors import NodeUnreachable
from blockchain.primitives.records import UNBONDING_MAX
from blockchain.wallet import Wallet

CHANGES_MAX: Final = 2 * UNBONDING_MAX  # of one account: every second one takes a unit back
_PAUSE_SECONDS: Final = 1.0
_REQUEST_SECONDS: Final = 3.0
_JOIN_SECONDS: Final = 20.0


class Staker(threading.Thread):
    """What it was told is read after it has ended."""

    def __init__(self, url: str, owner: Wallet, ended: threading.Event) -> None:
        super().__init__(name=f"staker at {url}", daemon=True)
        self._url = url
        self._owner = owner
        self._ended = ended
        self._count = 0
        self.acknowledged: set[str] = set()
        self.refused: Counter[str] = Counter()

    def run(self) -> None:
        with Client(self._url, _REQUEST_SECONDS) as node:
            while self._count < CHANGES_MAX and not self._ended.wait(_PAUSE_SECONDS):
                try:
                    self._ask(node)
                except NodeUnreachable:
                    pass  # down, or standing still: the next nonce is asked for anew
                except RequestRefused as error:
                    self.refused[error.code] += 1

    def _ask(self, node: Client) -> None:
        nonce = node.account(self._owner.address_text).next_nonce
        change = self._owner.unstake if self._count % 2 else self._owner.stake
        self._count += 1
        (result,) = node.submit_each([change(1, nonce, 1)])
        if result.is_accepted and result.id is not None:
            self.acknowledged.add(result.id)
        else:
            assert result.code and result.why, f"refused without a reason: {result}"
            self.refused[result.code] += 1


@contextmanager
def staking(places: list[tuple[str, Wallet]]) -> Iterator[list[Staker]]:
    """One for each URL of a node and its owner, until the end of the block."""
    ended = threading.Event()
    stakers = [Staker(url, owner, ended) for url, owner in places]
    for staker in stakers:
        staker.start()
    try:
        yield stakers
    finally:
        ended.set()
        for staker in stakers:
            staker.join(_JOIN_SECONDS)
            assert not staker.is_alive(), f"{staker.name} does not end"
