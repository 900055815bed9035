"""Blocks that come as outlines: how they are made whole, and what hostile peers and forgers try with them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from blockchain.errors import PeerFault
from blockchain.node import mempool as mempool_module
from blockchain.node import outlines as outlines_module
from blockchain.node import stateless as stateless_module
from blockchain.node import verify as verify_module
from blockchain.node.bodies import OUTLINED_MIN
from blockchain.node.inputs import MessageReceived
from blockchain.node.messages import (
    Holdings,
    Message,
    Nothing,
    ProposedBlock,
    Status,
    Transactions,
    VerifiedOutline,
    Votes,
    Want,
    decode_frame,
    encode_frame,
)
from blockchain.node.outlines import HALVES_MAX
from blockchain.node.peers import NEWS_MS, TICK_MS, Peer
from blockchain.node.verify import verify_frame
from blockchain.primitives import codec
from blockchain.primitives.block import VerifiedBlock, block_id, transaction_root
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.outline import decode_outline, is_id, outline_of
from blockchain.primitives.transaction import VerifiedTransaction, transaction_id
from blockchain.primitives.vote import ConflictingProposals, Proposal, Step, VoteStep
from blockchain.seams import BlockRejected, Emit, EvidenceFound, PeerConnected, PeerDisconnected, PeerId, Penalize, Send
from tests.node.test_attacks import NOW, PEER, Bench, chain_of, forger_first
from tests.samples import address, certificate_of, signed, vote, wallet

OTHER = PeerId(b"q" * 32)
THIRD = PeerId(b"r" * 32)
SPEC, KEYS = chain_of(4)
FORGER, _ = forger_first(SPEC, KEYS)
PAYS = [wallet("a", SPEC.hash).transfer(address("b"), 1, nonce) for nonce in range(4)]
STRANGE = wallet("b", SPEC.hash).transfer(address("a"), 1, 0, fee=5)


def every(_: Hash32) -> bool:
    return True


def block_with(*transactions: VerifiedTransaction) -> VerifiedBlock:
    """What the forger of round 0 builds of these."""
    there = Bench(SPEC, None)
    there.submit(*transactions)
    return there.block_of(FORGER)


def listing(block: VerifiedBlock, *transactions: VerifiedTransaction) -> VerifiedBlock:
    """The block with these transactions, under a header that says so; whatever state they lead to."""
    ids = [each.id for each in transactions]
    header = replace(block.header, transaction_count=len(ids), transaction_root=transaction_root(ids))
    body = replace(block.block, header=header, transactions=tuple(each.raw for each in transactions))
    return VerifiedBlock(block_id(header, SPEC.hash), codec.encode(body), body, transactions)


def proposed(block: VerifiedBlock, round: int = 0, valid_round: int = -1) -> Proposal:
    unsigned = Proposal(1, round, valid_round, block.id, Address(FORGER.public_key))
    return signed(unsigned, FORGER, SPEC.hash)


def told(block: VerifiedBlock, is_held: Callable[[Hash32], bool] = every) -> ProposedBlock:
    return ProposedBlock(proposed(block), outline_of(block, is_held))


@pytest.fixture(autouse=True)
def _no_news(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is in a pool, the peers could have by now: here all happens in one moment."""
    monkeypatch.setattr(Peer, "news_ms", 0)


class Node(Bench):
    """A node that follows, with three peers at its height; it tells of every block by its outline."""

    def start(self) -> None:
        super().start()
        self.core.bodies._outlined_min = 1
        for peer in (OTHER, THIRD):
            self.feed(PeerConnected(peer, "", inbound=True))
        for peer in (PEER, OTHER, THIRD):
            self.hear(Status(1, 0, Step.PROPOSE, (Holdings(0, False, ()),)), peer)
        self.effects.clear()

    def hear(self, message: Message, peer: PeerId = PEER) -> None:
        """A frame of a peer."""
        verified = verify_frame(encode_frame(self.spec.hash, message), self.core.context(peer))
        self.feed(MessageReceived(peer, verified))

    def sent(self, kind: type[Message]) -> list[tuple[PeerId, Message]]:
        """Who was sent what of a kind since the last time that it was asked for."""
        frames = [
            (effect.peers, decode_frame(effect.frame).message) for effect in self.effects if isinstance(effect, Send)
        ]
        self.effects.clear()
        return [(peer, message) for peers, message in frames for peer in peers if isinstance(message, kind)]

    def holds(self, block: VerifiedBlock) -> bool:
        """Whether the block is that of the proposal of round 0, to the byte."""
        current = self.core.engine.current
        return 0 in current.proposals and current.blocks.get(block.id) == block


BLOCK = block_with(*PAYS)


def test_the_outline_of_a_block_has_its_shape() -> None:
    whole, names = outline_of(BLOCK, lambda _: False), decode_outline(outline_of(BLOCK, every))
    assert whole == BLOCK.raw
    assert names.entries == tuple(each.id for each in PAYS) and all(map(is_id, names.entries))
    assert (names.header, names.evidence) == (BLOCK.header, BLOCK.block.evidence)
    assert not any(is_id(each.raw) for each in PAYS)


# ------------------------------------------------------------------------------------------------ being told


def test_what_is_here_is_put_in_and_nothing_of_it_is_verified_again(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(SPEC, None)
    node.submit(*PAYS)
    node.effects.clear()
    monkeypatch.setattr(stateless_module, "check_transaction", lambda *_: pytest.fail("a signature is verified"))
    node.hear(told(BLOCK))
    assert node.holds(BLOCK) and node.sent(Want) == []
    pool = node.core.chain.pool
    assert all(each is pool.get(each.id) for each in node.core.engine.current.blocks[BLOCK.id].transactions)


def test_what_is_missing_is_asked_of_who_told_of_it_in_one_request() -> None:
    node = Node(SPEC, None)
    node.submit(PAYS[1])
    node.effects.clear()
    node.hear(told(BLOCK))
    missing = (PAYS[0], *PAYS[2:])
    assert node.sent(Want) == [(PEER, Want(tuple(each.id for each in missing)))]
    assert not node.core.engine.current.proposals, "what is not whole counts for nothing"
    node.hear(Transactions((PAYS[0].raw, PAYS[3].raw)))
    assert not node.core.engine.current.proposals
    node.hear(Transactions((PAYS[2].raw,)))
    assert node.holds(BLOCK) and node.core.outlines.of(0) is None
    assert {peer for peer, _ in node.sent(ProposedBlock)} == {OTHER, THIRD}, "now others are told"


def test_what_comes_along_is_not_asked_for() -> None:
    node = Node(SPEC, None)
    node.hear(told(BLOCK, lambda each: each == PAYS[2].id))
    assert node.sent(Want) == [(PEER, Want((PAYS[2].id,)))]
    node.hear(Transactions((PAYS[2].raw,)))
    assert node.holds(BLOCK)


def test_what_another_peer_brings_by_chance_is_put_in_too() -> None:
    node = Node(SPEC, None)
    node.hear(told(BLOCK))
    node.core.peers[OTHER].note_sent(Want(tuple(each.id for each in PAYS)))
    node.hear(Transactions(tuple(each.raw for each in PAYS)), OTHER)
    assert node.holds(BLOCK)


def test_the_second_that_tells_of_a_block_is_asked_too() -> None:
    node = Node(SPEC, None)
    node.hear(told(BLOCK))
    node.effects.clear()
    node.hear(told(BLOCK), OTHER)
    node.hear(told(BLOCK), THIRD)
    node.hear(told(BLOCK), PEER)
    assert node.sent(Want) == [(OTHER, Want(tuple(each.id for each in PAYS)))]
    node.hear(Transactions(tuple(each.raw for each in PAYS)), OTHER)
    assert node.holds(BLOCK)


def test_the_same_outline_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(SPEC, None)
    node.hear(told(BLOCK))
    monkeypatch.setattr(verify_module, "decode_outline", lambda _: pytest.fail("it is looked at again"))
    node.hear(told(BLOCK), OTHER)
    node.hear(ProposedBlock(proposed(BLOCK), b"\xc1"), THIRD)


def test_the_whole_block_is_taken_where_an_outline_waits() -> None:
    node = Node(SPEC, None)
    node.hear(told(BLOCK))
    node.hear(ProposedBlock(proposed(BLOCK), BLOCK.raw), OTHER)
    assert node.holds(BLOCK)
    node.hear(Transactions(tuple(each.raw for each in PAYS)))
    assert node.core.outlines.of(0) is None
    assert len(node.core.chain.pool) == len(PAYS), "what nobody waits for any more is for the pool"


def test_a_block_that_is_proposed_again_is_here_already(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(SPEC, None)
    node.hear(ProposedBlock(proposed(BLOCK), BLOCK.raw))
    node.effects.clear()
    forger = node.core.engine.current.forgers.forger(1)
    again = Proposal(1, 1, 0, BLOCK.id, forger)
    names = verify_frame(encode_frame(SPEC.hash, told(BLOCK)), Node(SPEC, None).core.context(PEER))
    assert isinstance(names, VerifiedOutline)
    node.feed(MessageReceived(PEER, replace(names, proposal=again)))
    assert node.core.engine.current.proposals[1] == again and node.sent(Want) == []


# ------------------------------------------------------------------------------------------------ telling


def test_a_block_goes_by_its_ids_at_first_and_whole_to_who_still_lacks_it() -> None:
    node = Node(SPEC, None)
    node.submit(*PAYS)
    node.effects.clear()
    node.hear(ProposedBlock(proposed(BLOCK), BLOCK.raw))
    names = told(BLOCK)
    assert node.sent(ProposedBlock) == [(OTHER, names), (THIRD, names)]
    for _ in range(2):
        node.core.peers[OTHER].on_tick(TICK_MS)
    node.hear(Status(1, 0, Step.PROPOSE, (Holdings(0, False, ()),)), OTHER)
    assert node.sent(ProposedBlock) == [(OTHER, ProposedBlock(proposed(BLOCK), BLOCK.raw))]
    node.hear(Status(2, 0, Step.PROPOSE, ()), OTHER)
    node.hear(Status(1, 0, Step.PROPOSE, (Holdings(0, False, ()),)), OTHER)
    assert node.sent(ProposedBlock) == [(OTHER, names)], "it has come to the height anew"


def test_what_is_not_in_the_pool_goes_along() -> None:
    node = Node(SPEC, None)
    node.submit(PAYS[0])
    node.effects.clear()
    node.hear(ProposedBlock(proposed(BLOCK), BLOCK.raw))
    assert node.sent(ProposedBlock)[0] == (OTHER, told(BLOCK, lambda each: each == PAYS[0].id))


def test_what_came_a_moment_ago_goes_along_to_who_is_far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each block of a chain under load would take a round trip more."""
    monkeypatch.undo()
    node = Node(SPEC, None)
    peers = node.core.peers
    assert peers[OTHER].news_ms == NEWS_MS, "nobody knows how far it is"
    peers[OTHER].clock.error_ms, peers[THIRD].clock.error_ms = 2, 150
    node.submit(PAYS[0])
    pool = node.core.chain.pool
    moments = {PAYS[0].id: 500, PAYS[1].id: 200, PAYS[2].id: 20}
    monkeypatch.setattr(pool, "received_ms", lambda each: NOW - moments[each] if each in moments else None)
    node.effects.clear()
    node.hear(ProposedBlock(proposed(BLOCK), BLOCK.raw))
    near, far = (peers[peer].news_ms for peer in (OTHER, THIRD))
    assert 20 < near < 200 < far < 500
    sent = [(peer, message) for peer, message in node.sent(ProposedBlock) if isinstance(message, ProposedBlock)]
    by_ids = {peer: decode_outline(message.block).entries for peer, message in sent}
    assert [is_id(entry) for entry in by_ids[OTHER]] == [True, True, False, False]
    assert [is_id(entry) for entry in by_ids[THIRD]] == [True, False, False, False]


def test_a_small_block_goes_whole() -> None:
    node = Node(SPEC, None)
    node.core.bodies._outlined_min = len(PAYS) + 1
    node.submit(*PAYS)
    node.effects.clear()
    node.hear(told(BLOCK))
    assert node.sent(ProposedBlock)[0] == (OTHER, ProposedBlock(proposed(BLOCK), BLOCK.raw))
    assert Bench(SPEC, None).core.bodies._outlined_min == OUTLINED_MIN > 1, "a payment alone needs no request"


def test_whom_it_told_of_a_block_it_serves_whatever_the_pool_has_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the block is final, and after that, for who is slower, until the next one is proposed."""
    node = Node(SPEC, None)
    node.submit(*PAYS)
    node.hear(told(BLOCK))
    monkeypatch.setattr(node.core.chain.pool, "get", lambda _: None)
    wanted = Want(tuple(each.id for each in PAYS))
    bodies = Transactions(tuple(each.raw for each in PAYS))
    node.effects.clear()
    node.hear(wanted, OTHER)
    assert node.sent(Transactions) == [(OTHER, bodies)]
    certificate = certificate_of(dict(enumerate(KEYS)), 1, BLOCK.id, genesis_hash=SPEC.hash)
    node.core._heard.follow(node.core.chain.import_block(BLOCK, certificate, 0), 0)
    assert node.core.chain.height == node.core.engine.current.height == 2
    node.core.bodies.let_go()
    node.hear(wanted, OTHER)
    assert node.sent(Transactions) == [(OTHER, bodies)]
    node.core.chain.head = replace(node.core.chain.head, id=Hash32(bytes(32)))
    node.core.bodies.let_go()
    node.hear(wanted, OTHER)
    assert node.sent(Transactions) == []


# ------------------------------------------------------------------------------------------------ what is hostile


def fault(message: Message) -> str:
    with pytest.raises(PeerFault) as caught:
        Node(SPEC, None).hear(message)
    return caught.value.reason


@pytest.mark.parametrize(
    "entries, reason",
    [
        ((*(each.id for each in PAYS[:3]), STRANGE.id), "malformed"),  # another one
        (tuple(each.id for each in reversed(PAYS)), "malformed"),
        (tuple(each.id for each in PAYS[:3]), "malformed"),
        ((*(each.id for each in PAYS), PAYS[3].id), "malformed"),
        ((*(each.raw for each in PAYS[:3]), STRANGE.raw), "malformed"),
        ((*(each.id for each in PAYS[:3]), bytes(31)), "malformed"),
        ((*(each.id for each in PAYS[:3]), bytes(1_025)), "malformed"),
    ],
)
def test_an_outline_is_held_to_its_header_before_anything_is_asked_for(entries: tuple[bytes, ...], reason: str) -> None:
    names = replace(decode_outline(told(BLOCK).block), entries=entries)
    assert fault(ProposedBlock(proposed(BLOCK), codec.encode(names))) == reason


def test_an_outline_of_another_block_or_with_a_transaction_that_nobody_signed() -> None:
    assert fault(ProposedBlock(proposed(BLOCK), outline_of(block_with(PAYS[0]), every))) == "wrong_block"
    forged = replace(PAYS[0].transaction, signature=PAYS[1].transaction.signature)
    raw = codec.encode(forged)
    unsigned = VerifiedTransaction(transaction_id(SPEC.hash, raw), raw, forged)  # or so somebody says
    block = listing(BLOCK, unsigned, *PAYS[1:])
    assert fault(told(block, lambda each: each != unsigned.id)) == "bad_transaction"


@pytest.mark.parametrize("order", [(0, 0), (1, 0), (0, 2)], ids=["twice", "turned round", "with a gap"])
def test_what_does_not_apply_makes_a_block_invalid_and_is_nobodys_fault(order: tuple[int, ...]) -> None:
    """The pool holds it all; the block is its forger's fault."""
    node = Node(SPEC, None)
    node.submit(*PAYS)
    node.effects.clear()
    block = listing(BLOCK, *(PAYS[number] for number in order))
    node.hear(told(block))
    events = [effect.event for effect in node.effects if isinstance(effect, Emit)]
    assert any(isinstance(event, BlockRejected) for event in events) and node.holds(block)
    assert not any(isinstance(effect, Penalize) for effect in node.effects)


def test_what_was_asked_for_a_block_is_no_fault_of_who_sent_it() -> None:
    """Else a forger that fills its blocks with what can never apply has everybody blame whoever serves them."""
    node = Node(SPEC, None)
    spent = [wallet("nobody", SPEC.hash).exchange(address("b"), 1, nonce) for nonce in range(3)]
    block = listing(BLOCK, PAYS[0], *spent)
    bodies = Transactions((PAYS[0].raw, *(each.raw for each in spent)))
    for peer in (PEER, OTHER):
        node.hear(told(block), peer)
    for peer in (PEER, OTHER):
        node.hear(bodies, peer)
        assert node.core.peers[peer]._useless == 0
    assert node.holds(block)
    assert [each.id for each in node.core.chain.pool] == [PAYS[0].id], "what does apply is for the pool too"
    node.core.peers[PEER].note_sent(Want((spent[0].id, spent[1].id)))
    node.hear(Transactions((spent[0].raw, spent[1].raw)))
    assert node.core.peers[PEER]._useless == 1, "it was excused for four, and three of them did not apply"


def test_ids_that_nobody_has_take_one_place_a_round_and_few_rounds_at_once() -> None:
    node = Node(SPEC, None)
    names = verify_frame(encode_frame(SPEC.hash, told(BLOCK)), node.core.context(PEER))
    assert isinstance(names, VerifiedOutline)
    for number in range(3 * HALVES_MAX):
        for valid_round in (-1, 0):
            proposal = replace(names.proposal, round=number, valid_round=valid_round)
            node.feed(MessageReceived(PEER, replace(names, proposal=proposal)))
    outlines = node.core.outlines
    assert sorted(outlines._halves) == list(range(2 * HALVES_MAX, 3 * HALVES_MAX))
    node.feed(MessageReceived(PEER, names))
    assert outlines.of(0) is None, "of a full house the lowest round goes"
    node.core.engine.current.height = 2
    outlines.on_bodies(())
    assert not outlines._halves, "with the height all of it is over"


def test_two_blocks_of_one_round_are_an_offence_though_one_is_known_by_its_ids() -> None:
    other = block_with(PAYS[0])
    for message in (told(other), ProposedBlock(proposed(other), other.raw)):
        node = Node(SPEC, None)
        node.hear(told(BLOCK))
        node.effects.clear()
        node.hear(message)
        events = [effect.event for effect in node.effects if isinstance(effect, Emit)]
        assert [event for event in events if isinstance(event, EvidenceFound)]
        [piece] = node.core.chain.evidence.pieces()
        assert piece == ConflictingProposals(proposed(BLOCK), proposed(other))
        assert node.holds(other) == (message.block == other.raw), "the one that is whole counts"


def test_what_is_verified_while_its_height_ends_is_no_offence_of_who_forges_the_next_one() -> None:
    """Else this node would accuse somebody honest of it, and forge blocks with that, which all others refuse."""
    node, there = Node(SPEC, None), Node(SPEC, None)
    there.submit(STRANGE)
    precommits = tuple(vote(one, 1, VoteStep.PRECOMMIT, BLOCK.id, genesis_hash=SPEC.hash) for one in KEYS)
    late = verify_frame(encode_frame(SPEC.hash, told(BLOCK)), node.core.context(OTHER))
    for each in (node, there):
        each.submit(*PAYS)
        each.hear(told(BLOCK))
        each.hear(Votes(precommits))
    drawn = there.core.engine.current.forgers.forger(0)
    forger = next(one for one in KEYS if Address(one.public_key) == drawn)
    block = there.block_of(forger)
    proposal = signed(Proposal(2, 0, -1, block.id, drawn), forger, SPEC.hash)
    node.hear(ProposedBlock(proposal, outline_of(block, every)))
    assert node.core.outlines.of(0) is not None, "half of it is here"
    node.feed(MessageReceived(OTHER, late))
    assert node.core.chain.evidence.pieces() == ()
    node.hear(Transactions((STRANGE.raw,)))
    assert node.holds(block)


def test_another_outline_of_a_round_takes_the_place_of_the_first() -> None:
    """The first may be a lure with ids that nobody has."""
    node = Node(SPEC, None)
    lure = listing(BLOCK, STRANGE)
    node.hear(told(lure))
    node.hear(told(BLOCK), OTHER)
    node.hear(Transactions(tuple(each.raw for each in PAYS)), OTHER)
    assert node.holds(BLOCK)


def test_an_outline_of_what_would_be_too_long_a_block_is_its_tellers_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlines_module, "BLOCK_BYTES_MAX", len(BLOCK.raw) - 1)
    node = Node(SPEC, None)
    node.submit(*PAYS)
    node.effects.clear()
    node.hear(told(BLOCK))
    [penalty] = [effect for effect in node.effects if isinstance(effect, Penalize)]
    assert (penalty.peer, penalty.reason) == (PEER, "malformed") and not node.holds(BLOCK)


def test_who_told_of_a_block_may_leave_before_it_is_whole() -> None:
    node = Node(SPEC, None)
    node.hear(told(BLOCK))
    node.feed(PeerDisconnected(PEER))
    node.hear(told(BLOCK), OTHER)
    node.hear(Transactions(tuple(each.raw for each in PAYS)), OTHER)
    assert node.holds(BLOCK)


def test_what_the_pool_evicts_meanwhile_stays_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool_module, "TRANSACTIONS_MAX", 1)
    node = Node(SPEC, None)
    node.submit(PAYS[0])
    node.hear(told(BLOCK))
    node.submit(STRANGE)
    assert [each.id for each in node.core.chain.pool] == [STRANGE.id]
    node.hear(Transactions(tuple(each.raw for each in PAYS[1:])))
    assert node.holds(BLOCK)


def test_a_proposal_that_is_here_is_nothing_by_its_ids_too() -> None:
    node = Node(SPEC, None)
    node.hear(ProposedBlock(proposed(BLOCK), BLOCK.raw))
    verified = verify_frame(encode_frame(SPEC.hash, told(BLOCK)), node.core.context(OTHER))
    assert verified == Nothing(ProposedBlock)
