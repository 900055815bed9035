"""What a client has just handed in: sent to peers before they ask for it (docs/protocol.md §8.4 rule 12).

Offer, want and answer are two hops more than the transaction alone, and whoever waits for one transaction waits for
them. A few are sent whole; of many the ids are told, so that what a peer is sent unasked stays below what it has to
take, however much clients hand in.

Who takes one passes on its id, and where all are connected with all that is in vain: each peer has it from its giver.
An offer of the same id that comes from such a peer shows it, as crossing votes do (`apart.py`); then what that giver
sends is offered to that peer a while later only, when most of it is final. As there, it takes two such peers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from blockchain.node.apart import LAG_MS
from blockchain.node.connected import Connected
from blockchain.node.messages import FRESH_MAX, Fresh
from blockchain.node.peers import Peer
from blockchain.node.relay import Relay
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.transaction import VerifiedTransaction
from blockchain.seams import Effect, PeerId, SetTimer, TimerKey, TimerKind

TAKEN_MAX: Final = 1_000  # fresh ones between two ticks of which it is remembered who gave them; and that wait
CROSSED_MIN: Final = 2  # peers; with one alone two ways may meet at the far side of a ring


class PassingOn:
    """To whom fresh ones go whole, to whom their ids, and to whom those later."""

    def __init__(self, relay: Relay, peers: Connected) -> None:
        self._relay = relay
        self._peers = peers
        self._givers: dict[Hash32, PeerId] = {}  # of what was taken since the last tick
        self._held: dict[Hash32, None] = {}  # until the timer fires

    def hand_out(self, transactions: Sequence[VerifiedTransaction]) -> list[Effect]:
        """A client's, which are in the pool, to each peer that is not known to hold them."""
        if len(transactions) > FRESH_MAX:
            return self._relay.announce(one.id for one in transactions)
        return [effect for peer in self._peers.values() for effect in self._hand(peer, transactions)]

    def _hand(self, peer: Peer, transactions: Sequence[VerifiedTransaction]) -> list[Effect]:
        new = [one for one in transactions if not peer.knows(one.id)]
        if not new:
            return []
        ids = [one.id for one in new]
        if not peer.may_be_sent_fresh(len(new)):
            return self._relay.offer(peer, ids)
        peer.note_known(ids)
        return [self._peers.send(peer, Fresh(tuple(one.raw for one in new)))]

    def take(self, giver: Peer, ids: Sequence[Hash32]) -> list[Effect]:
        """Offer what a peer sent unasked to all who may lack it, but for those who get it as this node did."""
        for transaction_id in ids if len(self._givers) < TAKEN_MAX else ():
            self._givers[transaction_id] = giver.id
        peers = self._peers.values()
        near = [peer for peer in peers if giver.id in peer.apart.givers]
        if len(near) < CROSSED_MIN or len(self._held) >= TAKEN_MAX:
            return self._relay.announce(ids)
        effects = [effect for peer in peers if peer not in near for effect in self._relay.offer(peer, ids)]
        if ids and not self._held:
            effects.append(SetTimer(TimerKey(TimerKind.OFFER), LAG_MS))
        self._held.update(dict.fromkeys(ids))
        return effects

    def on_timer(self) -> list[Effect]:
        """What still waits is offered to those who have not shown meanwhile that they hold it."""
        held, self._held = self._held, {}
        return self._relay.announce(held)

    def on_have(self, peer: Peer, ids: Iterable[Hash32]) -> None:
        """What the peer offers it has from somebody else: it was not sent it by this node (`on_want`)."""
        givers = {self._givers[each] for each in ids if each in self._givers} if self._givers else set()
        peer.apart.givers |= (givers & self._peers.keys()) - {peer.id}

    def on_want(self, ids: Iterable[Hash32]) -> None:
        """Who asks for it has it from here, and may offer it later."""
        for transaction_id in ids if self._givers else ():
            self._givers.pop(transaction_id, None)

    def on_tick(self) -> None:
        self._givers.clear()
