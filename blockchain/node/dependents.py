"""Who of the ready lives from whose money (docs/protocol.md §10.1).

An account whose final balance pays for all that it has ready needs nobody's; of any other the newest that it has ready
are counted as dependents, until it does. So more may be found than would fail, and never fewer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from blockchain.node.entry import Entry
from blockchain.node.queues import Queues
from blockchain.node.scratch import Scratch
from blockchain.primitives.crypto import Address

Cut = tuple[Address, int]  # what a sender has ready from a nonce on


def is_independent(queues: Queues, scratch: Scratch, address: Address | None) -> bool:
    queue = None if address is None else queues.get(address)
    return address is None or queue is None or queue.spent <= scratch.final_balance(address)


def dependents(queues: Queues, scratch: Scratch, stakes: Collection[Entry], cuts: Iterable[Cut]) -> list[Entry]:
    """The ready ones that are cut off, and those of others that may lack what these paid; the newest first.

    With one that concerns stake come all of these, the `stakes`, with what follows them.
    """
    found: list[Entry] = []
    left: dict[Address, tuple[int, int]] = {}  # of whom some are found: the next nonce, and what is spent
    work: list[tuple[Address, int | None]] = list(cuts)  # no nonce: somebody paid less
    has_stakes = False
    while work:
        sender, first = work.pop()
        queue = queues.get(sender)
        if queue is None:
            continue
        following, spent = left.get(sender, (queue.next, queue.spent))
        balance = scratch.final_balance(sender) if first is None and spent else spent
        while spent > balance or (first is not None and following > first):
            following -= 1
            entry = queue.entries.get(following)
            if entry is None:
                continue  # final by now
            found.append(entry)
            spent -= entry.cost
            if entry.recipient is not None:
                work.append((entry.recipient, None))
            if entry.is_stake and not has_stakes:
                has_stakes = True
                work += ((stake.sender, stake.nonce) for stake in stakes)
        left[sender] = following, spent
    found.sort(key=_by_place, reverse=True)
    return found


def _by_place(entry: Entry) -> int:
    return entry.place
