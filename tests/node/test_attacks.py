"""What hostile peers and validators, and crashes at the worst moment, try against a node's core."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from blockchain.consensus.lottery import vrf_alpha
from blockchain.consensus.signing import after_signing, check_request
from blockchain.errors import PeerFault
from blockchain.node.announcements import ANNOUNCE_MS
from blockchain.node.core import Core
from blockchain.node.inputs import Input, MessageReceived
from blockchain.node.messages import (
    FRAME_BYTES_MAX,
    IDS_MAX,
    Accuse,
    Announce,
    Blocks,
    GetBlocks,
    GetPeers,
    Have,
    Holdings,
    Message,
    Nothing,
    ProposedBlock,
    Status,
    Transactions,
    Verified,
    VerifiedEvidence,
    Votes,
    Want,
    decode_frame,
    encode_frame,
    kind_of,
)
from blockchain.node.peers import ALLOWANCES, BLOCKS_SENT_MAX, UNSIGNED_COST, Peer
from blockchain.node.ranges import FITTING_FIRST
from blockchain.node.reader import LOTTERY_ROUNDS_MAX, lottery_of
from blockchain.node.rounds_held import PLACES_MAX
from blockchain.node.store import MemoryStore
from blockchain.node.verify import verify_frame
from blockchain.primitives import vrf
from blockchain.primitives.block import BLOCK_BYTES_MAX, VerifiedBlock
from blockchain.primitives.chain import ChainSpec, GenesisValidator
from blockchain.primitives.crypto import Address, Hash32, Signature, SigningKey
from blockchain.primitives.scalars import INTEGER_MAX, VALIDATORS_MAX
from blockchain.primitives.transaction import VerifiedTransaction, prove_possession
from blockchain.primitives.vote import (
    Announcement,
    Certificate,
    CommitSignature,
    ConflictingProposals,
    ConflictingVotes,
    Proposal,
    Signable,
    Step,
    Vote,
    VoteStep,
    sign_message,
)
from blockchain.seams import (
    Effect,
    Emit,
    PeerConnected,
    PeerId,
    Penalize,
    ProveVrf,
    Send,
    SetTimer,
    Sign,
    Signed,
    SigningRecord,
    Started,
    TimerFired,
    TimerKey,
    TimerKind,
    Token,
    TransactionsSubmitted,
    VrfProved,
    Write,
)
from blockchain.wallet import Wallet
from tests.samples import PREVOTE, TIME_MS, address, certificate_of, key, signed, spec_of, vote, wallet

BLOCK_WAIT = TimerKind.BLOCK_WAIT
NOW = TIME_MS + 1_000_000
PEER = PeerId(b"p" * 32)


def chain_of(validators: int, **parameters: object) -> tuple[ChainSpec, list[SigningKey]]:
    """A chain of equal validators, and their keys by index."""
    keys = sorted((key(f"validator {n}") for n in range(validators)), key=lambda held: held.public_key)
    members = tuple(GenesisValidator(Address(held.public_key), 100) for held in keys)
    return spec_of(validators=members, parameters=parameters), keys


class Bench:
    """One core with its store and its signer's record; effects are performed as a driver does."""

    def __init__(self, spec: ChainSpec, held: SigningKey | None) -> None:
        self.spec = spec
        self.key = held
        self.store = MemoryStore()
        self.records = tuple(SigningRecord(one.public_key) for one in [held] if one is not None)
        self.start()

    def start(self) -> None:
        self.core = Core(self.spec, self.store, frozenset(record.key for record in self.records))
        self.effects: list[Effect] = []
        self.feed(Started(self.records, 1))
        self.feed(PeerConnected(PEER, "", inbound=True))

    def feed(self, given: Input, effects_max: int | None = None) -> None:
        """One input, its effects (or only the first of them: a crash), and the answers of the signer."""
        effects = self.core.handle(given, NOW)[:effects_max]
        self.effects += effects
        answers = [answer for effect in effects if (answer := self._perform(effect)) is not None]
        if effects_max is None:
            for answer in answers:
                self.feed(answer)

    def _perform(self, effect: Effect) -> Input | None:
        match effect:
            case Write(batch=batch):
                self.store.write(batch)
            case Sign(message=message):
                return self._sign(message)
            case ProveVrf(height=height, round=number, seed=seed):
                assert self.key is not None
                return VrfProved(height, number, vrf.prove(self.key.seed, vrf_alpha(self.spec.hash, seed, height)))
            case _:
                pass
        return None

    def _sign(self, message: Signable) -> Input:
        assert self.key is not None
        if not isinstance(message, Vote | Proposal):
            return Signed(sign_message(message, self.key, self.spec.hash))
        [record] = self.records
        known = check_request(record, message)
        if known is not None:
            return Signed(known)
        signed = sign_message(message, self.key, self.spec.hash)
        assert isinstance(signed, Vote | Proposal)
        self.records = (after_signing(record, signed),)
        return Signed(signed)

    def receive(self, message: Message, effects_max: int | None = None) -> None:
        """A frame of the peer, verified and handed over."""
        verified = verify_frame(encode_frame(self.spec.hash, message), self.core.context(PEER))
        self.feed(MessageReceived(PEER, verified), effects_max)

    def submit(self, *transactions: VerifiedTransaction) -> None:
        self.feed(TransactionsSubmitted(Token(1), transactions))

    def asked(self, step: VoteStep) -> list[Vote]:
        """The votes of this step that the core has asked a signature for, since it was made."""
        messages = [effect.message for effect in self.effects if isinstance(effect, Sign)]
        return [message for message in messages if isinstance(message, Vote) and message.step is step]

    def block_of(self, forger: SigningKey) -> VerifiedBlock:
        """The block that this forger would build for round 0, on this core's chain and pool."""
        chain = self.core.chain
        proof = vrf.prove(forger.seed, vrf_alpha(self.spec.hash, chain.seed, chain.height))
        return chain.build_block(0, proof, chain.parent_certificate, NOW)


def forger_first(spec: ChainSpec, keys: list[SigningKey]) -> tuple[SigningKey, list[SigningKey]]:
    """The forger of (1, 0), and the others by index."""
    drawn = Bench(spec, None).core.engine.current.forgers.forger(0)
    return next(k for k in keys if Address(k.public_key) == drawn), [k for k in keys if Address(k.public_key) != drawn]


# ---------------------------------------------------------------------------------------------------- crashes


@pytest.mark.parametrize("effects_max", range(12))
def test_a_crash_between_a_prevote_and_its_precommit_loses_neither(effects_max: int) -> None:
    """Prevotes may be here before the proposal: then one input asks for both votes, and a crash may come between."""
    spec, keys = chain_of(4)
    forger, others = forger_first(spec, keys)
    node = Bench(spec, others[0])
    node.submit(wallet("a", spec.hash).transfer(address("b"), 1, 0))
    block = node.block_of(forger)
    unsigned = Proposal(1, 0, -1, block.id, Address(forger.public_key))
    proposal = ProposedBlock(signed(unsigned, forger, spec.hash), block.raw)
    polka = Votes(tuple(vote(k, 1, PREVOTE, block.id, genesis_hash=spec.hash) for k in (forger, *others[1:])))

    node.receive(polka)
    node.receive(proposal, effects_max)
    node.start()
    node.receive(polka)
    node.receive(proposal)

    own = node.core.engine.current.rules.book.of(0)
    assert own.precommits.firsts[Address(others[0].public_key)].block_id == block.id


# ---------------------------------------------------------------------------------------------------- forging


def test_who_stakes_with_the_same_key_cannot_make_a_forger_build_too_small_a_block() -> None:
    """Two accounts stake with one key, so only the first can; which is first is another in the order of fees."""
    validator = key("only")
    spec = spec_of(
        demo=True,
        validators=(GenesisValidator(Address(validator.public_key), 100),),
        parameters={"block_threshold": 2, "block_max_transactions": 2, "block_max_wait_ms": None, "stake_delay": 0},
    )
    node = Bench(spec, None)
    a, b = wallet("a", spec.hash), wallet("b", spec.hash)

    def with_shared_key(staker: Wallet, fee: int) -> VerifiedTransaction:
        proof = prove_possession(key("shared"), staker.address, 0, spec.hash)
        return staker.stake(1, 0, fee=fee, validator_key=key("shared").public_key, proof=proof)

    bid = with_shared_key(b, fee=5)
    node.core.peers[PEER].note_sent(Want(tuple(Hash32(bytes([n]) * 32) for n in range(3))))
    node.receive(Transactions((with_shared_key(a, fee=0).raw, bid.raw, a.transfer(address("b"), 1, 1).raw)))
    assert node.core.chain.is_block_due()

    block = node.block_of(validator)

    fresh = Bench(spec, None)
    fresh.core.chain.check_block(block)  # raises InvalidBlock where it is not what everybody else accepts


# ---------------------------------------------------------------------------------------------------- wasted work


def test_what_is_of_no_use_is_dropped_before_its_blocks_are_verified() -> None:
    """A block costs a second to verify: neither unasked ranges, nor whoever was not drawn, nor a second one may."""
    spec, keys = chain_of(4)
    forger, others = forger_first(spec, keys)
    node = Bench(spec, None)
    node.submit(wallet("a", spec.hash).transfer(address("b"), 1, 0))
    block = node.block_of(forger)

    def of_no_use(message: Message) -> Verified:
        frame = encode_frame(spec.hash, message)
        return verify_frame(frame, replace(node.core.context(PEER), known=lambda _: pytest.fail("a block is verified")))

    def proposed(by: SigningKey, number: int, block_id: Hash32) -> ProposedBlock:
        unsigned = Proposal(1, number, -1, block_id, Address(by.public_key))
        return ProposedBlock(signed(unsigned, by, spec.hash), block.raw)

    with pytest.raises(PeerFault, match="unasked"):
        of_no_use(Blocks(1, (block.raw,), None))
    with pytest.raises(PeerFault, match="not drawn"):
        of_no_use(proposed(others[0], 0, block.id))
    assert of_no_use(proposed(others[0], 1_000_000, block.id)) == Nothing(ProposedBlock)

    first = proposed(forger, 0, block.id)
    node.receive(first)
    assert of_no_use(first) == Nothing(ProposedBlock)
    second = proposed(forger, 0, Hash32(bytes(32)))
    assert of_no_use(second) == VerifiedEvidence(ConflictingProposals(first.proposal, second.proposal))


def test_the_range_that_was_asked_for_is_taken() -> None:
    spec, keys = chain_of(4)
    forger, _ = forger_first(spec, keys)
    node = Bench(spec, None)
    node.submit(wallet("a", spec.hash).transfer(address("b"), 1, 0))
    block = node.block_of(forger)
    node.receive(Status(3, 0, Step.PROPOSE, ()))
    node.receive(Blocks(1, (block.raw,), certificate_of(dict(enumerate(keys)), 1, block.id, genesis_hash=spec.hash)))
    assert node.core.chain.head.id == block.id


# ---------------------------------------------------------------------------------------------------- floods


def test_one_proof_of_an_offence_is_kept_and_passed_on() -> None:
    """A validator can sign a thousand conflicting votes; else each pair would be a durable write and a broadcast."""
    spec, keys = chain_of(4)
    node = Bench(spec, None)
    node.feed(PeerConnected(PeerId(b"q" * 32), "", inbound=True))

    def accuse(number: int) -> list[Effect]:
        before = len(node.effects)
        pair = [
            vote(keys[0], 1, PREVOTE, Hash32(bytes([n]) * 32), genesis_hash=spec.hash) for n in (number, number + 1)
        ]
        node.receive(Accuse(ConflictingVotes(pair[0], pair[1])))
        return node.effects[before:]

    assert [type(effect) for effect in accuse(0)] == [Emit, Write, Send, SetTimer], "and a block is due"
    assert [effect for number in range(1, 20) for effect in accuse(number)] == []


def test_a_validator_that_votes_without_end_does_not_fill_the_memory() -> None:
    peer = Peer(PEER, "", inbound=True)
    peer.on_status(Status(1, 0, Step.PROPOSE, ()))
    for number in range(3 * PLACES_MAX):
        peer.note_votes((number, PREVOTE, None), 1)
        peer.note_proposal(number)
    assert len(peer._holds._votes) <= PLACES_MAX
    assert len(peer._holds._proposals) <= PLACES_MAX


# ---------------------------------------------------------------------------------------------------- sync


def test_peers_that_say_they_are_far_ahead_and_never_answer_do_not_starve_sync() -> None:
    spec, keys = chain_of(4)
    forger, _ = forger_first(spec, keys)
    node = Bench(spec, None)
    node.submit(wallet("a", spec.hash).transfer(address("b"), 1, 0))
    block = node.block_of(forger)
    seal = certificate_of(dict(enumerate(keys)), 1, block.id, genesis_hash=spec.hash)
    for number in range(6):
        liar = PeerId(bytes([number]) * 32)
        node.feed(PeerConnected(liar, "", inbound=True))
        node.feed(MessageReceived(liar, Status(INTEGER_MAX, 0, Step.PROPOSE, ())))
    node.receive(Status(2, 0, Step.PROPOSE, ()))
    asked: list[PeerId] = []
    for _ in range(60):
        before = len(node.effects)
        node.feed(TimerFired(TimerKey(TimerKind.STATUS)))
        sent = [effect for effect in node.effects[before:] if isinstance(effect, Send)]
        asked += [effect.peers[0] for effect in sent if isinstance(decode_frame(effect.frame).message, GetBlocks)]
        if PEER in asked:
            node.receive(Blocks(1, (block.raw,), seal))
            break
    assert node.core.chain.head.id == block.id

    for _ in range(100):
        node.feed(TimerFired(TimerKey(TimerKind.STATUS)))
    assert node.core.sync.best_height == 2, "nobody believes in blocks that nobody shows"


# ---------------------------------------------------------------------------------------------------- transactions


@pytest.mark.parametrize("more", [0, 11])
def test_a_peer_that_offers_and_never_sends_keeps_no_transaction_away(more: int) -> None:
    """It came first, offers all that there is at once and, with `more`, fifty thousand a second that there are not."""
    spec, _ = chain_of(4)
    node = Bench(spec, None)
    honest = PeerId(b"q" * 32)
    node.feed(PeerConnected(honest, "", inbound=True))
    wanted = wallet("a", spec.hash).transfer(address("b"), 1, 0)

    def wants() -> bool:
        sent = [effect for effect in node.effects if isinstance(effect, Send) and honest in effect.peers]
        messages = [decode_frame(effect.frame).message for effect in sent]
        return any(isinstance(message, Want) and wanted.id in message.ids for message in messages)

    node.receive(Have((wanted.id,)))
    node.feed(MessageReceived(honest, Have((wanted.id,))))
    for second in range(4):
        for number in range(more):
            bogus = tuple(Hash32(f"{second} {number} {n}".encode().ljust(32)) for n in range(IDS_MAX))
            node.receive(Have((wanted.id, *bogus[1:])))
        node.feed(TimerFired(TimerKey(TimerKind.STATUS)))
    assert wants()


# ---------------------------------------------------------------------------------------------------- asking too much


@pytest.mark.parametrize(
    "message",
    [
        Status(1, 0, Step.PROPOSE, ()),
        GetBlocks(1, 1),
        GetPeers(),
        Have((Hash32(bytes(32)),)),
        Want((Hash32(bytes(32)),)),
    ],
    ids=lambda message: type(message).__name__,
)
def test_a_peer_asks_only_so_much_between_two_ticks(message: Verified) -> None:
    peer = Peer(PEER, "", inbound=True)
    kind = kind_of(message)
    most = ALLOWANCES[kind]
    assert [peer.note_came(kind, 1) for _ in range(most + 2)] == [True] * most + [False] * 2
    peer.on_tick(1_000)
    assert peer.note_came(kind, 1)


def test_what_is_asked_too_often_is_left_undone_until_the_next_tick() -> None:
    spec, _ = chain_of(4)
    node = Bench(spec, None)

    def answers() -> int:
        before = len(node.effects)
        for _ in range(100):
            node.receive(GetBlocks(1, 1))
        return len(node.effects) - before

    assert answers() == ALLOWANCES[GetBlocks]
    node.feed(TimerFired(TimerKey(TimerKind.STATUS)))
    assert answers() == ALLOWANCES[GetBlocks]


def test_the_longest_answer_fits_a_frame() -> None:
    """A frame that is too long for the wire would end the node that serves it."""
    entries = tuple(CommitSignature(index, Signature(bytes(64))) for index in range(VALIDATORS_MAX))
    certificate = Certificate(INTEGER_MAX, 2**31 - 1, Hash32(bytes(32)), entries)
    frame = encode_frame(Hash32(bytes(32)), Blocks(INTEGER_MAX, (bytes(BLOCK_BYTES_MAX),), certificate))
    assert len(frame) <= FRAME_BYTES_MAX


def test_announcements_are_passed_on_only_as_often_as_an_honest_validator_speaks() -> None:
    spec, keys = chain_of(4)
    node = Bench(spec, None)
    node.feed(PeerConnected(PeerId(b"q" * 32), "", inbound=True))

    def is_passed_on(time_ms: int) -> bool:
        before = len(node.effects)
        said = sign_message(Announcement(Address(keys[0].public_key), 1, time_ms), keys[0], spec.hash)
        assert isinstance(said, Announcement)
        node.receive(Announce(said))
        return len(node.effects) > before

    assert is_passed_on(NOW)
    assert not any(is_passed_on(NOW + n) for n in range(1, ANNOUNCE_MS // 2, 7))
    assert is_passed_on(NOW + ANNOUNCE_MS // 2)
    assert not is_passed_on(NOW + spec.parameters.clock_drift_ms + 1)


def test_announcements_that_nobody_signed_cost_no_more_than_a_few_looks_a_second() -> None:
    """They are no fault, since a key may have changed; so a peer could else have any number of signatures checked."""
    spec, keys = chain_of(4)
    node = Bench(spec, None)
    sent = Announce(Announcement(Address(keys[0].public_key), 1, NOW, Signature(bytes(64))))

    def looked_at() -> int:
        count = 0
        for _ in range(200):
            verified = verify_frame(encode_frame(spec.hash, sent), node.core.context(PEER))
            count += verified == Nothing(Announce, UNSIGNED_COST)
            node.feed(MessageReceived(PEER, verified))
        return count

    assert looked_at() == 50
    node.feed(TimerFired(TimerKey(TimerKind.STATUS)))
    assert looked_at() == 50 and not any(isinstance(effect, Penalize) for effect in node.effects)


def test_over_a_slow_line_fewer_blocks_are_asked_for() -> None:
    """An answer that takes longer than a node waits would else be asked for, sent and thrown away for ever."""
    spec, _ = chain_of(4)
    node = Bench(spec, None)
    for _ in range(20):
        node.receive(Status(1_000, 0, Step.PROPOSE, ()))
        node.feed(TimerFired(TimerKey(TimerKind.STATUS)))
    messages = [decode_frame(effect.frame).message for effect in node.effects if isinstance(effect, Send)]
    counts = [message.count for message in messages if isinstance(message, GetBlocks)]
    assert counts == [FITTING_FIRST, 1]


# ---------------------------------------------------------------------------------------------------- small bounds


def test_a_timer_of_another_height_does_not_end_the_wait_of_this_one() -> None:
    spec, keys = chain_of(4, block_threshold=5)
    node = Bench(spec, keys[0])
    node.submit(wallet("a", spec.hash).transfer(address("b"), 1, 0))
    [wait] = [effect.key for effect in node.effects if isinstance(effect, SetTimer) and effect.key.kind is BLOCK_WAIT]
    node.feed(TimerFired(TimerKey(BLOCK_WAIT, wait.height - 1)))
    assert not node.core.chain.is_block_due()
    node.feed(TimerFired(wait))
    assert node.core.chain.is_block_due()


def test_a_block_that_is_due_anyway_sets_no_timer_for_it() -> None:
    spec, keys = chain_of(4, block_threshold=2)
    node = Bench(spec, keys[0])
    wallet_a = wallet("a", spec.hash)
    for nonce, timers in ((0, 1), (1, 1)):
        node.submit(wallet_a.transfer(address("b"), 1, nonce))
        assert count_waits(node) == timers
    due = Bench(chain_of(4)[0], keys[0])
    due.submit(wallet("a", due.core.chain.genesis_hash).transfer(address("b"), 1, 0))
    assert due.core.chain.is_block_due() and count_waits(due) == 0


def count_waits(node: Bench) -> int:
    return sum(isinstance(effect, SetTimer) and effect.key.kind is BLOCK_WAIT for effect in node.effects)


def test_status_after_status_gets_only_so_many_blocks_a_tick() -> None:
    spec, keys = chain_of(4)
    forger, others = forger_first(spec, keys)
    node = Bench(spec, others[0])
    node.submit(wallet("a", spec.hash).transfer(address("b"), 1, 0))
    block = node.block_of(forger)
    unsigned = Proposal(1, 0, -1, block.id, Address(forger.public_key))
    node.receive(ProposedBlock(signed(unsigned, forger, spec.hash), block.raw))
    node.effects.clear()
    for _ in range(20):
        node.receive(Status(2, 0, Step.PROPOSE, ()))  # of what it was sent before nothing is known then
        node.receive(Status(1, 0, Step.PROPOSE, (Holdings(0, False, ()),)))
    frames = [decode_frame(effect.frame).message for effect in node.effects if isinstance(effect, Send)]
    assert sum(isinstance(message, ProposedBlock) for message in frames) == BLOCKS_SENT_MAX


def test_a_lottery_receipt_is_made_for_rounds_that_may_come_only() -> None:
    spec, keys = chain_of(4)
    bench = Bench(spec, keys[0])
    assert lottery_of(bench.core, bench.store, 1, LOTTERY_ROUNDS_MAX) is not None
    assert lottery_of(bench.core, bench.store, 1, LOTTERY_ROUNDS_MAX + 1) is None
