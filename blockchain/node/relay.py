"""Relay of pending transactions: by have, want and bodies, in lists (docs/protocol.md §8.4).

A want that stays unanswered is asked of another peer, and the pool is offered again bit by bit, since a have may be
lost: a transaction that only one node holds would wait for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from blockchain.node.bodies import Bodies
from blockchain.node.chain import Chain
from blockchain.node.connected import Connected
from blockchain.node.messages import IDS_MAX, TRANSACTIONS_MAX, Have, Transactions, Want
from blockchain.node.peers import Peer
from blockchain.node.wanted import Wanted
from blockchain.primitives.crypto import Hash32
from blockchain.seams import Effect, PeerId

OFFER_TICKS: Final = 2  # each so many status ticks, some of the pool is offered again
OFFER_IDS: Final = 500  # so many of it: 16 KB a peer
DECLINED_MAX: Final = 20_000
FRAME_TRANSACTIONS_BYTES: Final = 512 * 1024
WANT_IDS: Final = 250  # of a pool in one want: what comes is a turn of the core, and votes wait for it


class Relay:
    """Who is offered, asked for and sent which transactions. Reads the pool; does not change it."""

    def __init__(self, chain: Chain, peers: Connected, bodies: Bodies) -> None:
        self._chain = chain
        self._peers = peers
        self._bodies = bodies
        self._wanted = Wanted(self._is_held)
        self._declined: dict[Hash32, None] = {}  # did not enter the pool at this height: not wanted again
        self._declined_at = 0
        self._offered = 0  # how far into the pool it was offered again
        self._tick = 0

    def announce(self, ids: Iterable[Hash32]) -> list[Effect]:
        """Tell each peer of the pending transactions that it is not known to hold."""
        offered = [transaction_id for transaction_id in ids if self._chain.pool.get(transaction_id) is not None]
        effects: list[Effect] = []
        for peer in self._peers.values():
            effects.extend(self.offer(peer, offered))
        return effects

    def offer(self, peer: Peer, ids: Iterable[Hash32]) -> list[Effect]:
        new = peer.unknown_of(ids)[:IDS_MAX]
        peer.note_known(new)
        return [self._peers.send(peer, Have(new))] if new else []

    def on_have(self, peer: Peer, ids: tuple[Hash32, ...]) -> list[Effect]:
        peer.note_known(ids)
        return self._want(peer, ids)

    def on_want(self, peer: Peer, ids: tuple[Hash32, ...]) -> list[Effect]:
        """Send the bodies asked for that are still here, in frames of bounded size."""
        peer.note_known(ids)
        raws = self._bodies.raws(dict.fromkeys(ids))
        return [self._peers.send(peer, Transactions(part)) for part in _parts(raws)]

    def on_arrived(self, ids: Iterable[Hash32]) -> None:
        self._wanted.let_go(ids)

    def on_declined(self, transaction_id: Hash32) -> None:
        """A peer's transaction that cannot enter the pool; at the next height it may."""
        if self._declined_at != self._chain.height:
            self._declined_at = self._chain.height
            self._declined = {}
        if len(self._declined) < DECLINED_MAX:
            self._declined[transaction_id] = None

    def on_tick(self) -> list[Effect]:
        """Each second: what nobody answered is asked of somebody else, and more of what peers offered."""
        self._tick += 1
        effects = self._want_of_others()
        effects.extend(effect for peer in self._peers.values() for effect in self.want_more(peer))
        if self._tick % OFFER_TICKS == 0:
            effects.extend(self._offer_again())
        return effects

    def _offer_again(self) -> list[Effect]:
        """The next part of the pool to everybody, whatever they are thought to hold."""
        if self._offered >= len(self._chain.pool):
            self._offered = 0
        part = islice(self._chain.pool, self._offered, self._offered + OFFER_IDS)
        ids = tuple(verified.id for verified in part)
        self._offered += len(ids)
        return self._peers.send_all(Have(ids)) if ids else []

    def on_disconnected(self, gone: PeerId) -> list[Effect]:
        """What that peer was asked for, to others; it knows of no question when it is back."""
        return self._ask_others(self._wanted.on_disconnected(gone))

    def _want_of_others(self) -> list[Effect]:
        """What was asked for and did not come. Who did not send it is not thought to hold it any more."""
        overdue = self._wanted.on_tick()
        for transaction_id in overdue:
            silent = self._peers.get(self._wanted.release(transaction_id))
            if silent is not None:
                silent.forget(transaction_id)
        return self._ask_others(overdue)

    def _ask_others(self, ids: list[Hash32]) -> list[Effect]:
        effects: list[Effect] = []
        # Who left few unanswered first: else two could take turns for ever.
        for peer in sorted(self._peers.values(), key=lambda peer: peer.unanswered):
            effects.extend(self._want(peer, tuple(i for i in ids if peer.knows(i))))
        return effects

    def _want(self, peer: Peer, ids: tuple[Hash32, ...]) -> list[Effect]:
        """Ask for what is news, now or when others have come."""
        new = self._wanted.want(peer.id, self._news(ids), len(self._peers))
        return self._ask_for(peer, new, WANT_IDS)

    def want_more(self, peer: Peer) -> list[Effect]:
        """Ask for the next of what a peer offered, as far as there is room."""
        ids = self._wanted.take(peer.id, len(self._peers))
        return self._ask_for(peer, ids, WANT_IDS)

    def fetch(self, peer: Peer, ids: tuple[Hash32, ...]) -> list[Effect]:
        """Ask a peer for what its block has, whoever else was asked for it, whether or not the pool would take it."""
        peer.note_known(ids)
        peer.excuse(len(ids))
        self._wanted.ask(peer.id, ids)
        return self._ask_for(peer, ids, TRANSACTIONS_MAX)

    def _ask_for(self, peer: Peer, ids: Sequence[Hash32], at_once: int) -> list[Effect]:
        return [
            self._peers.send(peer, Want(tuple(ids[start : start + at_once]))) for start in range(0, len(ids), at_once)
        ]

    def _news(self, ids: Iterable[Hash32]) -> Iterator[Hash32]:
        """What became final long ago counts as news: to look for it takes longer than to verify and refuse it."""
        pending, final, wanted = self._chain.pool.get, self._chain.newly_final, self._wanted
        declined = self._declined if self._declined_at == self._chain.height else ()
        return (i for i in ids if pending(i) is None and i not in final and i not in wanted and i not in declined)

    def _is_held(self, transaction_id: Hash32) -> bool:
        return self._chain.pool.get(transaction_id) is not None or transaction_id in self._chain.newly_final


def _parts(raws: Sequence[bytes]) -> Iterator[tuple[bytes, ...]]:
    """In parts for a frame each."""
    start = size = 0
    for at, raw in enumerate(raws):
        if size + len(raw) > FRAME_TRANSACTIONS_BYTES:
            yield tuple(raws[start:at])
            start, size = at, 0
        size += len(raw)
    if raws:
        yield tuple(raws[start:])
