"""The next height is not waited for: what is sent before its word is kept, within bounds (protocol §8.4 rule 14)."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from blockchain.node import heard
from blockchain.node.early import (
    EARLY_BYTES_AT_ONCE,
    EARLY_BYTES_MAX,
    EARLY_FRAME_BYTES_MAX,
    EARLY_FRAMES_MAX,
    EarlyFrames,
)
from blockchain.node.inputs import MessageReceived
from blockchain.node.messages import (
    Ahead,
    Blocks,
    GetBlocks,
    Holdings,
    Message,
    ProposedBlock,
    Status,
    Votes,
    encode_frame,
)
from blockchain.node.peers import ALLOWANCES, Peer
from blockchain.node.verify import verify_frame
from blockchain.primitives.crypto import Address, Hash32, SigningKey
from blockchain.primitives.vote import Proposal, Step, Vote, VoteStep
from blockchain.seams import (
    PeerConnected,
    PeerDisconnected,
    PeerId,
    Penalize,
    SetTimer,
    TimerFired,
    TimerKey,
    TimerKind,
)
from tests.node.gossip_bench import sent
from tests.node.test_attacks import PEER, Bench, chain_of, forger_first
from tests.samples import BLOCK_A, PRECOMMIT, PREVOTE, address, certificate_of, signed, vote, wallet

OTHER = PeerId(b"q" * 32)


class Deciding(Bench):
    """A node that follows height 1, with one peer at its height; the block comes with a word of three validators."""

    def __init__(self) -> None:
        spec, keys = chain_of(4)
        super().__init__(spec, None)
        self.forger, self.others = forger_first(spec, keys)
        self.keys = keys
        self.receive(Status(1, 0, Step.PROPOSE, (Holdings(0, False, ()),)))
        self.submit(wallet("a", spec.hash).transfer(address("b"), 1, 0))
        self.block = self.block_of(self.forger)

    def says(self, key: SigningKey, height: int, step: VoteStep, value: Hash32 | None) -> Vote:
        return vote(key, height, step, value, genesis_hash=self.spec.hash)

    def decide(self, *with_them: Vote) -> None:
        """Height 1, by precommits in one frame with these votes."""
        unsigned = Proposal(1, 0, -1, self.block.id, Address(self.forger.public_key))
        self.receive(ProposedBlock(signed(unsigned, self.forger, self.spec.hash), self.block.raw))
        self.receive(Votes((*(self.says(key, 1, PRECOMMIT, self.block.id) for key in self.keys[:3]), *with_them)))
        assert self.core.engine.current.height == 2

    def told(self, kind: type[Message], since: int) -> list[tuple[tuple[PeerId, ...], Message]]:
        return sent(self.effects[since:], kind)

    @property
    def peer(self) -> Peer:
        return self.core.peers[PEER]

    def counts(self, early: Vote) -> bool:
        return self.core.engine.current.rules.book.holds(early)


def test_what_comes_before_its_height_counts_when_that_begins() -> None:
    node = Deciding()
    early, beside = (node.says(key, 2, PREVOTE, None) for key in node.keys[:2])
    node.receive(Votes((early,)))
    assert node.peer.height == 2, "who votes at a height is there"
    node.decide(beside)
    assert node.counts(early) and node.counts(beside)
    assert not node.peer.lacks(early, node.core.engine.current.validators.index[early.validator])


def test_what_was_wrong_in_it_is_found_then() -> None:
    node = Deciding()
    node.receive(Votes((vote(node.keys[0], 2, PREVOTE, None),)))  # of another chain
    before = len(node.effects)
    node.decide()
    faults = [effect for effect in node.effects[before:] if isinstance(effect, Penalize)]
    assert [(fault.peer, fault.reason) for fault in faults] == [(PEER, "bad_signature")]


def test_it_is_handled_some_at_a_time_and_who_has_said_least_is_heard_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """What 128 peers may have said takes two seconds to verify, and the other inputs wait for it."""
    assert EARLY_BYTES_AT_ONCE >= EARLY_BYTES_MAX, "each peer has its turn"
    node = Deciding()
    node.feed(PeerConnected(OTHER, "", inbound=True))
    much, little, last = (Votes((node.says(key, 2, PREVOTE, None),)) for key in node.keys[:3])
    node.receive(much)
    node.receive(last)
    node.feed(MessageReceived(OTHER, verify_frame(encode_frame(node.spec.hash, little), node.core.context(OTHER))))
    monkeypatch.setattr(heard, "EARLY_BYTES_AT_ONCE", node.peer.early.size)
    timer = TimerKey(TimerKind.EARLY)
    before = len(node.effects)
    node.decide()
    assert node.counts(*little.votes) and not node.counts(*much.votes)
    assert SetTimer(timer, 0) in node.effects[before:]
    before = len(node.effects)
    node.feed(TimerFired(timer))
    assert node.counts(*much.votes) and node.counts(*last.votes)
    assert SetTimer(timer, 0) not in node.effects[before:]


def test_who_left_meanwhile_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Deciding()
    node.feed(PeerConnected(OTHER, "", inbound=True))
    early = Votes((node.says(node.keys[0], 2, PREVOTE, None),))
    node.receive(early)
    node.feed(MessageReceived(OTHER, verify_frame(encode_frame(node.spec.hash, early), node.core.context(OTHER))))
    monkeypatch.setattr(heard, "EARLY_BYTES_AT_ONCE", node.peer.early.size)
    node.decide()
    node.feed(PeerDisconnected(OTHER))
    before = len(node.effects)
    node.feed(TimerFired(TimerKey(TimerKind.EARLY)))
    assert node.effects[before:] == []


def test_who_is_at_the_height_that_is_decided_is_sent_what_is_new_of_the_next_without_a_word() -> None:
    node = Deciding()
    node.feed(PeerConnected(OTHER, "", inbound=True))
    node.decide()
    before = len(node.effects)
    assert not node.told(Status, before) and node.peer.height == 2
    assert node.core.peers[OTHER].height == 0, "of this one nothing is known"
    cast = node.says(node.keys[0], 2, PREVOTE, None)
    [votes] = sent(node.core.gossip._spread(node.core.gossip._bundle((cast,))), Votes)
    assert votes == ((PEER,), Votes((cast,)))


def test_what_was_dropped_is_asked_for_by_a_word_when_the_height_begins() -> None:
    """Of who said it, and of nobody else: a peer could make a node speak to all in each height."""
    node = Deciding()
    node.feed(PeerConnected(OTHER, "", inbound=True))
    before = len(node.effects)
    for number in range(EARLY_FRAMES_MAX + 1):
        node.receive(Votes((node.says(node.keys[0], 2, PREVOTE, Hash32(bytes([number]) * 32)),)))
    assert not node.told(Status, before)
    node.decide()
    [(peers, status)] = node.told(Status, before)
    assert peers == (PEER,) and isinstance(status, Status) and status.height == 2


def test_without_a_loss_a_height_is_told_when_it_has_lasted() -> None:
    node = Deciding()
    before = len(node.effects)
    node.decide()
    assert not node.told(Status, before)
    for _ in range(2):
        node.feed(TimerFired(TimerKey(TimerKind.STEP)))
    [(_, status)] = node.told(Status, before)
    assert isinstance(status, Status) and status.height == 2


def test_who_speaks_of_a_height_far_ahead_is_asked_for_blocks_and_kept_out_of_memory() -> None:
    node = Deciding()
    before = len(node.effects)
    node.receive(Votes((node.says(node.keys[0], 4, PREVOTE, None),)))
    assert node.told(GetBlocks, before) and node.peer.height == 4
    assert node.peer.early.take() == []


def test_who_speaks_of_the_next_height_is_about_to_send_this_one_and_who_tells_it_has_been_there() -> None:
    node = Deciding()
    before = len(node.effects)
    node.receive(Votes((node.says(node.keys[0], 2, PREVOTE, None),)))
    assert node.peer.height == 2 and not node.told(GetBlocks, before)
    node.receive(Status(2, 0, Step.PROPOSE, ()))
    assert node.told(GetBlocks, before) == [((PEER,), GetBlocks(1, 1))]


def test_a_peer_that_counts_up_is_believed_as_often_as_it_may_tell_its_status() -> None:
    node = Deciding()
    for height in range(2, 2 * ALLOWANCES[Status]):
        node.receive(Votes((node.says(node.keys[0], height, PREVOTE, None),)))
    assert node.peer.height < ALLOWANCES[Status] + 2


def test_frames_are_kept_in_their_order_and_taken_once() -> None:
    early = EarlyFrames()
    early.keep(b"one")
    early.keep(b"two")
    assert early.take() == [b"one", b"two"] and early.take() == []


@pytest.mark.parametrize(
    "size, fit",
    [
        (1, EARLY_FRAMES_MAX),
        (EARLY_FRAME_BYTES_MAX, EARLY_BYTES_MAX // EARLY_FRAME_BYTES_MAX),
    ],
)
def test_few_frames_and_few_bytes_are_kept(size: int, fit: int) -> None:
    early = EarlyFrames()
    for _ in range(fit):
        early.keep(bytes(size))
    assert not early.take_loss()
    early.keep(bytes(size))
    assert early.take_loss() and not early.take_loss()
    assert len(early.take()) == fit
    early.keep(b"again")
    assert early.take() == [b"again"]


def test_one_that_is_too_large_is_let_go_of_where_it_is_verified() -> None:
    """Any peer may send blocks of megabytes that nobody signed: they must not wait for the core."""
    node = Deciding()
    early = EarlyFrames()
    early.keep(None)
    assert early.take_loss() and early.take() == []
    for size, is_kept in ((EARLY_FRAME_BYTES_MAX, True), (EARLY_FRAME_BYTES_MAX + 1, False)):
        told = ProposedBlock(Proposal(2, 0, -1, BLOCK_A, Address(node.forger.public_key)), b"")
        room = size - len(encode_frame(node.spec.hash, told)) - 1  # its length takes a byte more
        frame = encode_frame(node.spec.hash, replace(told, block=bytes(room)))
        ahead = verify_frame(frame, node.core.context(PEER))
        assert len(frame) == size and isinstance(ahead, Ahead) and (ahead.frame is not None) is is_kept
    votes = (node.says(node.keys[0], 2, PREVOTE, None),) * (EARLY_FRAME_BYTES_MAX // 100)
    ahead = verify_frame(encode_frame(node.spec.hash, Votes(votes)), node.core.context(PEER))
    assert isinstance(ahead, Ahead) and ahead.frame is None


# ------------------------------------------------------------------------------------------ what is presumed of a peer


def test_a_word_of_the_height_before_does_not_take_the_presumption_back_and_another_does() -> None:
    peer = Deciding().peer
    peer.presume(2)
    peer.on_status(Status(1, 0, Step.PRECOMMIT, ()))
    assert peer.height == 2
    peer.presume(3)
    peer.on_status(Status(1, 0, Step.PRECOMMIT, ()))
    assert peer.height == 1


def test_with_its_first_word_of_the_height_it_is_sent_again_what_may_be_lost() -> None:
    peer = Deciding().peer
    place = (0, PREVOTE, BLOCK_A)
    peer.presume(2)
    assert peer.may_lack(0) and peer.take_votes(2, place, 0b1) == 0b1
    assert peer.take_votes(2, place, 0b1) == 0
    peer.on_status(Status(2, 0, Step.PROPOSE, (Holdings(0, False, ()),)))
    assert peer.has_just_come and peer.lacked(place, 0b1) == 0b1
    peer.note_votes_sent(place, 0b1)
    peer.on_status(Status(2, 0, Step.PROPOSE, (Holdings(0, False, ()),)))
    assert not peer.has_just_come and peer.lacked(place, 0b1) == 0


def test_who_is_only_presumed_to_have_gone_on_is_sent_prevotes_of_the_height_before() -> None:
    peer = Deciding().peer
    place = (0, PREVOTE, BLOCK_A)
    peer.presume(2)
    assert peer.take_votes(1, place, 0b1) == 0b1 and peer.take_votes(1, place, 0b1) == 0
    peer.on_status(Status(2, 0, Step.PROPOSE, ()))
    assert peer.take_votes(1, place, 0b10) == 0


def test_who_takes_over_a_block_presumes_nothing_and_tells_where_it_is_at_once() -> None:
    node = Deciding()
    node.feed(PeerConnected(OTHER, "", inbound=True))
    node.feed(MessageReceived(OTHER, Status(1, 0, Step.PROPOSE, ())))
    node.receive(Status(3, 0, Step.PROPOSE, ()))
    before = len(node.effects)
    signers = dict(enumerate(node.keys))
    node.receive(Blocks(1, (node.block.raw,), certificate_of(signers, 1, node.block.id, genesis_hash=node.spec.hash)))
    assert node.core.chain.height == 2 and node.core.peers[OTHER].height == 1
    [(_, status)] = node.told(Status, before)
    assert isinstance(status, Status) and status.height == 2


def test_who_votes_at_the_height_in_progress_is_there_whatever_it_told() -> None:
    node = Deciding()
    node.decide()
    node.peer.on_status(Status(3, 0, Step.PROPOSE, ()))
    node.peer.on_status(Status(1, 0, Step.PROPOSE, ()))
    assert node.peer.height == 1
    node.receive(Votes((node.says(node.keys[0], 2, PREVOTE, None),)))
    assert node.peer.height == 2


def test_who_proposes_at_the_height_in_progress_is_there_whatever_it_told() -> None:
    node = Deciding()
    node.decide()
    node.peer.on_status(Status(3, 0, Step.PROPOSE, ()))
    node.peer.on_status(Status(1, 0, Step.PROPOSE, ()))
    node.submit(wallet("a", node.spec.hash).transfer(address("b"), 1, 1))
    drawn = node.core.engine.current.forgers.forger(0)
    forger = next(key for key in node.keys if Address(key.public_key) == drawn)
    block = node.block_of(forger)
    proposal = signed(Proposal(2, 0, -1, block.id, drawn), forger, node.spec.hash)
    node.receive(ProposedBlock(proposal, block.raw))
    assert node.peer.height == 2 and not node.peer.lacks_proposal(0)


def test_a_late_word_of_the_height_before_asks_for_nothing() -> None:
    node = Deciding()
    node.decide()
    node.receive(Votes((node.says(node.keys[0], 2, PREVOTE, None),)))
    before = len(node.effects)
    node.receive(Status(1, 0, Step.PRECOMMIT, ()))
    assert node.peer.height == 2 and not node.told(Votes, before)
