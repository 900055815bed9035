"""Which transactions peers were asked for, and what they offered beyond that (docs/protocol.md §8.4 rule 7).

Whoever asks has to verify what comes, and all that peers say about transactions waits behind it, the parts of a block
among them. So a node asks for as much as it verifies in a moment, and for the next of what was offered when some came:
a flood waits as ids where it entered, not as signatures at everybody.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from blockchain.primitives.crypto import Hash32
from blockchain.seams import PeerId

AT_ONCE: Final = 1_500  # of all peers: a third of a second of one core; enough for thousands a second from far away
OF_ONE_MIN: Final = 100  # of one, however many there are: nobody's offers wait for those who do not answer
OFFERED_MAX: Final = 50_000  # ids that wait to be asked for, of all peers; what is beyond is offered again
WANT_TICKS: Final = 2  # status ticks after which what was asked for is asked of another peer
NOBODY: Final = PeerId(b"")


class Wanted:
    """Ids only; each peer has its share of both bounds, so that none fills them with what is not there."""

    def __init__(self, is_held: Callable[[Hash32], bool]) -> None:
        """`is_held`: whether an id is of no use any more, as this node has it, or it is final."""
        self._is_held = is_held
        self._asked: dict[Hash32, tuple[int, PeerId]] = {}  # in which tick, and of whom
        self._counts: Counter[PeerId] = Counter()  # how many of them of each peer
        self._offered: dict[PeerId, OrderedDict[Hash32, None]] = {}  # a dict is slow to find its first again and again
        self._tick = 0

    def __contains__(self, transaction_id: Hash32) -> bool:
        return transaction_id in self._asked

    def __len__(self) -> int:
        return len(self._asked)

    def want(self, peer: PeerId, ids: Iterator[Hash32], peers: int) -> list[Hash32]:
        """Of what one of so many peers told, and is not held or asked for: what to ask it for now. The rest waits.

        No more of `ids` is drawn than there is room for.
        """
        taken: list[Hash32] = []
        if peer not in self._offered:  # as nearly always: nothing stands before it
            taken = list(dict.fromkeys(islice(ids, max(self._room(peer, peers), 0))))
            self._note_asked(peer, taken)
        self.offer(peer, ids, peers)
        return taken + self.take(peer, peers)

    def offer(self, peer: PeerId, ids: Iterable[Hash32], peers: int) -> None:
        """Of one of so many peers, the newest last."""
        waiting = self._offered.setdefault(peer, OrderedDict())
        for transaction_id in ids:
            if len(waiting) >= OFFERED_MAX // peers:
                return
            waiting[transaction_id] = None

    def take(self, peer: PeerId, peers: int) -> list[Hash32]:
        """The next to ask this peer for, the oldest first; they count as asked for."""
        waiting = self._offered.get(peer)
        if waiting is None:
            return []
        taken: list[Hash32] = []
        room = self._room(peer, peers)
        while waiting and len(taken) < room:
            transaction_id, _ = waiting.popitem(last=False)
            if transaction_id not in self._asked and not self._is_held(transaction_id):
                taken.append(transaction_id)
        if not waiting:
            del self._offered[peer]
        self._note_asked(peer, taken)
        return taken

    def _room(self, peer: PeerId, peers: int) -> int:
        """How many more one of so many peers may be asked for."""
        return max(AT_ONCE // peers, OF_ONE_MIN) - self._counts[peer]

    def ask(self, peer: PeerId, ids: Sequence[Hash32]) -> None:
        """They are asked of this peer now, whoever else was asked, and however many these are."""
        for transaction_id in ids:
            self.release(transaction_id)
        self._note_asked(peer, ids)

    def _note_asked(self, peer: PeerId, ids: Sequence[Hash32]) -> None:
        self._asked.update(dict.fromkeys(ids, (self._tick, peer)))
        self._count(peer, len(ids))

    def release(self, transaction_id: Hash32) -> PeerId:
        """It is waited for no longer; returns of whom it was."""
        _, peer = self._asked.pop(transaction_id, (0, NOBODY))
        self._count(peer, -1)
        return peer

    def let_go(self, ids: Iterable[Hash32]) -> None:
        """Of each of them: it is waited for no longer."""
        forget = self._asked.pop
        asked = Counter([asked[1] for each in ids if (asked := forget(each, None)) is not None])
        for peer, count in asked.items():
            self._count(peer, -count)

    def on_tick(self) -> list[Hash32]:
        """Let go of what came by another way; what was asked for and did not come."""
        self._tick += 1
        for transaction_id in [one for one in self._asked if self._is_held(one)]:
            self.release(transaction_id)
        return [one for one, (tick, _) in self._asked.items() if tick + WANT_TICKS <= self._tick]

    def on_disconnected(self, peer: PeerId) -> list[Hash32]:
        """What it was asked for."""
        self._offered.pop(peer, None)
        asked = [one for one, (_, of) in self._asked.items() if of == peer]
        for transaction_id in asked:
            self.release(transaction_id)
        return asked

    def _count(self, peer: PeerId, more: int) -> None:
        self._counts[peer] += more
        if self._counts[peer] <= 0:
            del self._counts[peer]
