"""Actors that keep the rules of voting, and lie, steal or make noise on the wire."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from blockchain.node.messages import (
    ADDRESSES_MAX,
    Blocks,
    Fresh,
    GetBlocks,
    GetPeers,
    Have,
    Message,
    Peers,
    ProposedBlock,
    Status,
    Transactions,
    Votes,
)
from blockchain.primitives import codec
from blockchain.primitives.crypto import Hash32, Signature
from blockchain.primitives.outline import check_outline, decode_outline
from blockchain.primitives.transaction import transaction_id
from blockchain.primitives.vote import CommitSignature
from blockchain.simulator.byzantine.actor import Actor, Puppet

if TYPE_CHECKING:
    from blockchain.simulator.node import Node

REPLAYED_MAX: Final = 200  # frames of votes that are kept to be told again
REPLAY_MS: Final = 700
FLOOD_MS: Final = 100
FLOOD_EACH: Final = 25  # of a kind at once: in a second fifty times what it may ask for peers
FLOOD_S: Final = 2  # so long at a time: a whole second, as its peers count, is in it
CALM_S: Final = 4  # and so long it rests then
POISON_MS: Final = 1_000
AHEAD: Final = 1_000  # heights that a liar says it is ahead


class WithholdsBodies(Actor):
    """It tells of transactions and of heights, and serves none; its own proposals reach one peer."""

    def tells(self, me: Puppet, receiver: Node, message: Message) -> Iterator[Message]:
        match message:
            case Transactions() | Blocks():
                return
            case Fresh(transactions=raws):
                yield Have(tuple(transaction_id(me.world.spec.hash, raw) for raw in raws))
            case ProposedBlock(proposal=proposal) if proposal.forger == me.core.engine.validator:
                if receiver is me.peers[0]:
                    yield message
            case _:
                yield message


class NamesOnly(Actor):
    """It tells of blocks by the ids of their transactions alone, and of transactions neither before nor when asked."""

    def tells(self, me: Puppet, receiver: Node, message: Message) -> Iterator[Message]:
        match message:
            case Have() | Transactions() | Fresh():
                return
            case ProposedBlock(block=raw):
                outline = decode_outline(raw)
                ids = check_outline(outline, me.world.spec.hash)
                yield replace(message, block=codec.encode(replace(outline, entries=ids)))
            case _:
                yield message


class ReplaysVotes(Actor):
    """It tells everybody votes of rounds and heights that are past, its own and those of others."""

    def __init__(self) -> None:
        self._heard: deque[Votes] = deque(maxlen=REPLAYED_MAX)

    def begins(self, me: Puppet) -> None:
        me.every(REPLAY_MS, lambda: self._replay(me))

    def tells(self, me: Puppet, receiver: Node, message: Message) -> Iterator[Message]:
        if isinstance(message, Votes) and (not self._heard or self._heard[-1] is not message):
            self._heard.append(message)
        yield message

    def _replay(self, me: Puppet) -> None:
        for message in [me.rng.choice(self._heard) for _ in range(min(len(self._heard), 10))]:
            me.tell(me.peers, message)


class Floods(Actor):
    """It sends all that it may and far more, until nobody talks to it."""

    def begins(self, me: Puppet) -> None:
        me.every(FLOOD_MS, lambda: self._flood(me))

    def _flood(self, me: Puppet) -> None:
        if me.world.time_ms // 1_000 % (FLOOD_S + CALM_S) >= FLOOD_S:
            return
        me.tell(me.peers, Have(tuple(Hash32(me.rng.randbytes(32)) for _ in range(FLOOD_EACH))))
        for message in (GetPeers(), GetBlocks(1, 1)):
            for _ in range(FLOOD_EACH):
                me.tell(me.peers, message)


class LiesInSync(Actor):
    """It says that it is far ahead, and serves blocks that nobody signed, cut short, or not at all."""

    def tells(self, me: Puppet, receiver: Node, message: Message) -> Iterator[Message]:
        match message:
            case Status(height=height):
                yield replace(message, height=height + AHEAD, round=0, rounds=())
                yield message
            case Blocks(blocks=blocks) if blocks:
                yield from self._served(me, message)
            case _:
                yield message

    def _served(self, me: Puppet, message: Blocks) -> Iterator[Message]:
        certificate = message.certificate
        assert certificate is not None, "blocks come with a certificate"
        garbage = CommitSignature(certificate.precommits[0].index, Signature(me.rng.randbytes(64)))
        match me.rng.choice(("unsigned", "unproven", "empty", "silent", "torn")):
            case "unsigned":
                yield replace(message, certificate=replace(certificate, precommits=(garbage,)))
            case "unproven":
                yield replace(message, certificate=None)
            case "empty":
                yield replace(message, blocks=(), certificate=None)
            case "torn":
                yield replace(message, blocks=(*message.blocks[:-1], message.blocks[-1][:-1]))
            case _:
                pass


class PoisonsExchange(Actor):
    """It tells of addresses at which nobody is, or somebody else's machine: when asked, and now and then unasked."""

    def begins(self, me: Puppet) -> None:
        me.every(POISON_MS, lambda: me.tell(me.peers, self._poison(me)))

    def tells(self, me: Puppet, receiver: Node, message: Message) -> Iterator[Message]:
        yield self._poison(me) if isinstance(message, Peers) else message

    def _poison(self, me: Puppet) -> Peers:
        hosts = (f"203.0.113.{me.rng.randrange(256)}:{me.rng.randrange(1, 65_536)}" for _ in range(ADDRESSES_MAX))
        return Peers(tuple(hosts))
