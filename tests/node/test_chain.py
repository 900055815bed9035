"""The chain: blocks built, checked, made final and loaded again; and each way in which a block can be wrong."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from blockchain.errors import ForkFound, InvalidBlock, StoreError
from blockchain.ledger.records import account_of, totals_of
from blockchain.ledger.smt_build import HERE, Builders, Hashed, Leaves, Part, Records
from blockchain.node import chain as chain_module
from blockchain.node import genesis_state
from blockchain.node.chain import Chain
from blockchain.node.evidence_pool import EvidencePool
from blockchain.node.fullness import Fullness
from blockchain.primitives import codec
from blockchain.primitives.block import Header, VerifiedBlock, check_body, transaction_root
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.transaction import VerifiedTransaction
from blockchain.primitives.vote import Certificate, Fork, certificate_hash, empty_certificate
from blockchain.seams import Batch, BlockFinalized, Emit, TransactionRefused, Write
from tests.node.one_chain import KEYS, NOW, Node, at_height_two, sealed, spec_with, twin, with_body
from tests.samples import BLOCK_A, TIME_MS, address, certificate_of, wallet


def refused(node: Node, block: VerifiedBlock) -> str:
    chain = node.chain
    before = chain.head, chain.seed, chain.validators, chain.state().root(), list(chain.pool)
    with pytest.raises(InvalidBlock):
        chain.check_block(block)
    with pytest.raises(InvalidBlock) as caught:  # it is not remembered as good
        chain.check_block(block)
    assert (chain.head, chain.seed, chain.validators, chain.state().root(), list(chain.pool)) == before
    return caught.value.field


# ------------------------------------------------------------------------------------------------ the good path


def test_before_block_one() -> None:
    node = Node(spec_with())
    chain = node.chain
    assert (chain.height, chain.head.height, chain.head.id) == (1, 0, node.spec.hash)
    assert chain.parent_certificate == empty_certificate(node.spec.hash)
    assert chain.validators == chain.parent_validators and len(chain.validators) == 3
    assert chain.next_nonce(address("a")) == 0
    assert node.store.state_records() == {}, "genesis reaches the store with block 1"


def test_nodes_share_what_genesis_says_and_nothing_that_changes() -> None:
    first, second = Node(spec_with()), Node(spec_with())
    root = second.chain.state().root()
    assert first.chain.validators is second.chain.validators
    first.grow(first.pay("a", 0))
    assert first.chain.state().root() != root == second.chain.state().root() == Node(spec_with()).chain.state().root()
    assert account_of(second.chain.state(), address("a")) == account_of(Node(spec_with()).chain.state(), address("a"))


def test_a_block_that_is_built_is_good_everywhere() -> None:
    node = at_height_two()
    node.add(node.pay("a", 1), wallet("a", node.spec.hash).stake(5, 2))
    block = node.build()
    check_body(block.block, node.spec.hash)
    other = twin(node)
    other.chain.check_block(block)
    node.chain.check_block(block)
    assert block.header.transaction_count == 2 and block.header.forger == Address(node.forger().public_key)
    assert (block.header.parent, block.header.time_ms) == (node.chain.head.id, max(NOW, node.chain.head.time_ms + 1))


def test_a_final_block_is_one_write_and_one_event() -> None:
    node = Node(spec_with())
    node.add(node.pay("a", 0), node.pay("a", 1))
    block = node.build()
    lost = node.pay("a", 1, amount=2, fee=1)
    certificate = node.certificate(block)
    effects = node.chain.finalize(block, certificate, 4, NOW + 7)
    [write] = [effect for effect in effects if isinstance(effect, Write)]
    assert effects[0] is write and write.batch.clear_round
    assert write.batch.block is not None and write.batch.block.raw == block.raw
    assert write.batch.pending_removed == tuple(each.id for each in block.transactions)
    event = next(effect.event for effect in effects if isinstance(effect, Emit))
    assert isinstance(event, BlockFinalized)
    assert (event.height, event.round, event.decided_round, event.final_ms) == (1, 4, 0, NOW + 7)
    assert not event.synced
    assert len(node.chain.pool) == 0 and lost.id not in write.batch.pending_removed


def test_only_what_was_in_the_pool_leaves_the_store_with_a_block() -> None:
    node, some, nothing = Node(spec_with()), Node(spec_with()), Node(spec_with())
    paid = node.pay("a", 0), node.pay("a", 1)
    node.add(*paid)
    some.add(paid[1])
    block = node.build()
    removed = []
    for other in (some, nothing):
        effects = other.chain.import_block(block, node.certificate(block), NOW)
        [write] = [effect for effect in effects if isinstance(effect, Write)]
        removed.append((write.batch.pending_removed, [bool(story) for story in write.batch.block_stories]))
    assert removed == [((paid[1].id,), [False, True]), ((), [])]


def test_what_has_one_story_in_the_pool_has_one_in_its_block() -> None:
    node = Node(spec_with())
    for nonce in range(3):
        node.chain.pool.add(node.pay("a", nonce), NOW + nonce // 2, must_apply=True)
    [write] = [effect for effect in node.finalize(node.build()) if isinstance(effect, Write)]
    first, same, other = write.batch.block_stories
    assert first is same and other is not same
    assert [[stage.time_ms for stage in story] for story in (first, other)] == [[NOW, NOW], [NOW + 1, NOW]]


def test_what_can_never_apply_now_leaves_the_pool_with_its_reason_in_the_same_write() -> None:
    node, other = Node(spec_with()), Node(spec_with())
    node.add(node.pay("a", 0))
    block = node.build()
    lost = node.pay("a", 0, amount=2)
    other.add(lost)
    effects = other.chain.import_block(block, node.certificate(block), NOW)
    [write] = [effect for effect in effects if isinstance(effect, Write)]
    [ended] = write.batch.ended
    assert ended.id == lost.id and lost.id in write.batch.pending_removed
    assert [stage.name for stage in ended.stages] == ["received", "refused"]
    events = [effect.event for effect in effects if isinstance(effect, Emit)]
    assert any(isinstance(event, TransactionRefused) and event.refusal == "nonce_used" for event in events)
    assert any(isinstance(event, BlockFinalized) and event.synced for event in events)


def test_a_node_that_loads_again_is_where_it_was() -> None:
    node = Node(spec_with())
    for nonce in range(12):
        extra = [wallet("b", node.spec.hash).stake(10, nonce // 3)] if nonce % 3 == 0 else []
        node.grow(node.pay("a", nonce), *extra)
        before = node.chain
        root, pool = before.state().root(), list(before.pool)
        node.load()
        again = node.chain
        assert (again.head, again.seed, again.validators) == (before.head, before.seed, before.validators)
        assert (node.chain.state().root(), list(node.chain.pool)) == (root, pool) and node.chain.height == nonce + 2
        if nonce == 8:  # height 10: "b" validates, and cannot be stood in for
            break
    assert account_of(node.chain.state(), address("a")).nonce == 9


def test_two_nodes_that_apply_the_same_blocks_agree() -> None:
    node, other = Node(spec_with()), Node(spec_with())
    for nonce in range(5):
        block = node.grow(node.pay("a", nonce, fee=1))
        other.perform(other.chain.import_block(block, node.chain.head.certificate, NOW))
        assert other.chain.state().root() == node.chain.state().root() == block.header.state_root
    assert other.chain.head == node.chain.head and other.chain.seed == node.chain.seed
    assert other.store.state_records() == node.store.state_records()
    assert totals_of(other.chain.state()).burnt == 5


def test_a_store_whose_state_is_not_the_heads_is_refused() -> None:
    node = at_height_two()
    node.store.write(Batch(state={b"a" + address("thief"): b"\x92\x05\x00"}))
    with pytest.raises(StoreError, match="damaged"):
        node.load()


def test_a_state_whose_tree_was_built_wrongly_elsewhere_is_refused() -> None:
    """As by a worker on a processor that errs: the root of all records decides, whoever computed it."""
    node = at_height_two()

    def build_wrongly(asked: Sequence[Leaves]) -> list[Part]:
        return [replace(part, hash=bytes(32)) for part in HERE.build_all(asked)]

    def hash_wrongly(asked: Sequence[Records]) -> list[Hashed]:
        return [
            Hashed(tuple(group[:-1] + b"." if group else b"" for group in one.groups)) for one in HERE.hash_all(asked)
        ]

    assert Chain(node.spec, node.chain.selection, node.store, builders=HERE).head == node.chain.head
    for wrong in (Builders(HERE.hash_all, build_wrongly), Builders(hash_wrongly, HERE.build_all)):
        with pytest.raises(StoreError, match="damaged"):
            Chain(node.spec, node.chain.selection, node.store, builders=wrong)


def test_outcomes_are_remembered_and_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_module, "TRIALS_MAX", 2)
    node = at_height_two()
    node.add(node.pay("a", 1))
    blocks = [node.build(now=NOW + extra) for extra in range(2, 6)]
    assert len(node.chain._trials) == 2
    node.finalize(blocks[0])  # forgotten, and computed again
    assert node.chain.head.id == blocks[0].id and node.chain._trials == {}


# ------------------------------------------------------------------------------------------------ the trigger


def test_the_trigger_counts_what_is_ready() -> None:
    node = Node(spec_with(block_threshold=2, block_max_wait_ms=None))
    assert not node.chain.is_block_due()
    node.add(node.pay("a", 0))
    node.add(node.pay("a", 5))
    assert not node.chain.is_block_due()
    node.add(node.pay("a", 1))
    assert node.chain.is_block_due()
    node.finalize(node.build())
    assert not node.chain.is_block_due()


def test_waiting_long_enough_makes_one_enough_and_none_never() -> None:
    node = Node(spec_with(block_threshold=2))
    node.chain.is_wait_over = True
    assert not node.chain.is_block_due()
    node.add(node.pay("a", 0))
    assert node.chain.is_block_due()
    node.finalize(node.build())
    assert not node.chain.is_wait_over


def test_a_heartbeat_makes_an_empty_block_with_a_later_time() -> None:
    node = Node(spec_with(heartbeat_ms=5_000))
    node.chain.is_heartbeat_due = True
    assert node.chain.is_block_due()
    block = node.build(now=TIME_MS)
    assert block.header.time_ms == TIME_MS + 5_000 and block.transactions == ()
    twin(node).chain.check_block(block)
    node.finalize(block)
    assert not node.chain.is_block_due()


def test_time_never_stands_still() -> None:
    node = Node(spec_with())
    node.add(node.pay("a", 0))
    assert node.build(now=0).header.time_ms == TIME_MS + 1
    assert node.build(now=TIME_MS + 1).header.time_ms == TIME_MS + 1
    assert node.build(now=TIME_MS + 9).header.time_ms == TIME_MS + 9


def test_a_block_takes_no_more_than_it_may() -> None:
    node = Node(spec_with(block_max_transactions=2))
    node.add(*(node.pay("a", nonce) for nonce in range(3)))
    assert node.build().header.transaction_count == 2


# ------------------------------------------------------------------------------------------------ bad blocks

ANY = Hash32(b"\x99" * 32)
FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "an older height": ({"height": 1}, "height"),
    "a later height": ({"height": 3}, "height"),
    "another parent": ({"parent": ANY}, "parent"),
    "the parent's time": ({"time_ms": NOW}, "time_ms"),
    "an earlier time": ({"time_ms": 0}, "time_ms"),
    "another seed": ({"seed": ANY}, "seed"),
    "another set": ({"validators_hash": ANY}, "validators_hash"),
    "somebody who was not drawn": ({"forger": address("a")}, "forger"),
    "another round": ({"round": 1}, "forger"),
    "a proof of nothing": ({"vrf_proof": bytes(80)}, "vrf_proof"),
    "another next set": ({"next_validators_hash": ANY}, "next_validators_hash"),
    "another state": ({"state_root": ANY}, "state_root"),
    "too many transactions": ({"transaction_count": 1_001}, "transaction_count"),
    "no transactions": ({"transaction_count": 0}, "transaction_count"),
}


@pytest.mark.parametrize("change, field", FIELDS.values(), ids=FIELDS.keys())
def test_each_wrong_field_is_named(change: dict[str, Any], field: str) -> None:
    node = at_height_two()
    node.add(node.pay("a", 1))
    block = node.build()
    other = twin(node)
    assert refused(other, sealed(block, **change)) == field
    other.chain.check_block(block)


def test_a_block_of_a_later_round_is_its_forgers() -> None:
    node = at_height_two()
    node.add(node.pay("a", 1))
    for round in range(5):
        twin(node).chain.check_block(node.build(round))


def test_the_proof_is_the_forgers_own() -> None:
    node = at_height_two()
    node.add(node.pay("a", 1))
    block = node.build()
    assert refused(twin(node), sealed(block, vrf_proof=node.proof(round=1))) == "vrf_proof"


def bodies(node: Node) -> dict[str, tuple[VerifiedTransaction, ...]]:
    good = node.pay("a", 1)
    return {
        "a used nonce": (node.pay("a", 0),),
        "a gap": (node.pay("a", 2),),
        "twice": (good, good),
        "the wrong order": (node.pay("a", 2), good),
        "too much": (node.pay("a", 1, amount=10_000),),
        "two that it can pay one of": (node.pay("a", 1, amount=600), node.pay("a", 2, amount=600)),
        "the second": (good, node.pay("a", 1, amount=2)),
        "a mint by nobody": (wallet("a", node.spec.hash).exchange(address("a"), 1, 1),),
        "expired": (wallet("a", node.spec.hash).transfer(address("b"), 1, 1, expiry=1),),
    }


@pytest.mark.parametrize("what", bodies(Node(spec_with())).keys())
def test_a_block_with_a_transaction_that_does_not_apply_is_invalid(what: str) -> None:
    node = at_height_two()
    chosen = bodies(node)[what]
    node.add(node.pay("a", 1))
    block = node.build()
    header = replace(
        block.header,
        transaction_count=len(chosen),
        transaction_root=transaction_root([each.id for each in chosen]),
    )
    body = replace(block.block, header=header, transactions=tuple(each.raw for each in chosen))
    check_body(body, node.spec.hash)
    assert refused(twin(node), with_body(body, chosen)) == "transactions"


def with_certificate(node: Node, certificate: Certificate) -> VerifiedBlock:
    """A good next block but for the certificate in its body."""
    node.add(node.pay("a", node.chain.next_nonce(address("a"))))
    block = node.build(now=NOW + 1)
    header = replace(block.header, parent_certificate_hash=certificate_hash(certificate, node.spec.hash))
    body = replace(block.block, header=header, parent_certificate=certificate)
    check_body(body, node.spec.hash)
    return with_body(body, block.transactions)


def test_the_parents_certificate_is_verified() -> None:
    node = at_height_two()
    members = dict(enumerate(KEYS))
    head, spec_hash = node.chain.head.id, node.spec.hash
    bad = {
        "of another block": certificate_of({0: KEYS[0]}, 1, BLOCK_A, genesis_hash=spec_hash),
        "of another height": certificate_of(members, 2, head, genesis_hash=spec_hash),
        "of too few": certificate_of({0: KEYS[0], 1: KEYS[1]}, 1, head, genesis_hash=spec_hash),
        "of another chain": certificate_of(members, 1, head),
        "of one twice": replace(node.chain.head.certificate, precommits=node.chain.head.certificate.precommits[:1] * 3),
        "empty": empty_certificate(spec_hash),
    }
    for what, certificate in bad.items():
        other = twin(node)
        assert refused(other, with_certificate(at_height_two(), certificate)) == "parent_certificate", what
    again = certificate_of(members, 1, head, round=0, genesis_hash=spec_hash)
    twin(node).chain.check_block(with_certificate(at_height_two(), again))


def test_the_certificate_that_moved_the_head_is_not_verified_again(monkeypatch: pytest.MonkeyPatch) -> None:
    node = at_height_two()
    other = certificate_of(dict(enumerate(KEYS)), 1, node.chain.head.id, round=7, genesis_hash=node.spec.hash)
    verified: list[Certificate] = []
    monkeypatch.setattr(chain_module, "verify_certificate", lambda one, *_: verified.append(one))
    for certificate in (node.chain.head.certificate, other):
        twin(node).chain.check_block(with_certificate(at_height_two(), certificate))
    assert verified == [other]


def test_a_certificate_for_another_block_at_the_heads_height_is_a_fork() -> None:
    node = at_height_two()
    other = certificate_of(dict(enumerate(KEYS)), 1, BLOCK_A, genesis_hash=node.spec.hash)
    head = node.chain.head
    with pytest.raises(ForkFound) as found:
        twin(node).chain.check_block(with_certificate(at_height_two(), other))
    assert found.value.height == 1
    assert codec.decode(found.value.proof, Fork, bytes_max=10_000) == Fork(head.certificate, other)
    assert node.chain.head == head


def test_another_certificate_of_the_parent_than_ones_own_is_as_good() -> None:
    node = Node(spec_with())
    node.add(node.pay("a", 0))
    block = node.build()
    late = certificate_of(dict(enumerate(KEYS)), 1, block.id, round=3, genesis_hash=node.spec.hash)
    node.finalize(block)
    twin(node).chain.check_block(with_certificate(node, late))


def test_block_one_carries_the_empty_certificate() -> None:
    node = Node(spec_with())
    signed = certificate_of(dict(enumerate(KEYS)), 0, node.spec.hash, genesis_hash=node.spec.hash)
    assert refused(Node(spec_with()), with_certificate(node, signed)) == "parent_certificate"
    Node(spec_with()).chain.check_block(with_certificate(Node(spec_with()), empty_certificate(node.spec.hash)))


@pytest.mark.parametrize(
    "parameters, count, is_good",
    [
        ({"block_threshold": 2, "block_max_wait_ms": None}, 1, False),
        ({"block_threshold": 2, "block_max_wait_ms": None}, 2, True),
        ({"block_threshold": 2}, 1, True),
        ({"block_threshold": 2}, 0, False),
        ({"heartbeat_ms": 1_000}, 0, True),
        ({"heartbeat_ms": 1_001}, 0, False),
        ({"block_threshold": 2, "block_max_wait_ms": None, "heartbeat_ms": 1_000}, 1, True),
    ],
)
def test_how_full_a_block_must_be(parameters: dict[str, Any], count: int, is_good: bool) -> None:
    """A block 1,000 ms after genesis."""
    node = Node(spec_with(**parameters))
    chosen = tuple(node.pay("a", nonce) for nonce in range(count))
    block = draft_of(node, chosen)
    if is_good:
        node.chain.check_block(block)
    else:
        assert refused(node, block) == "transaction_count"


class Lenient(Fullness, frozen=True):
    """Builds what may not be."""

    def check(self, header: Header, parent_ms: int) -> None:
        pass

    def choose(self, pool: EvidencePool, transactions: int, parent_ms: int, now: int) -> tuple[int, tuple[()]]:
        return now, ()


def draft_of(node: Node, chosen: tuple[VerifiedTransaction, ...]) -> VerifiedBlock:
    """A block whose every other field is right."""
    chain = Node(node.spec).chain
    chain._fullness = Lenient(node.spec.parameters)
    for each in chosen:
        chain.pool.add(each, NOW, must_apply=True)
    block = chain.build_block(0, node.proof(), chain.parent_certificate, NOW)
    assert (block.header.transaction_count, block.header.time_ms) == (len(chosen), NOW)
    return block


def test_the_state_of_genesis_is_everybodys_and_forgotten_with_the_first_block() -> None:
    spec = spec_with()
    first, second = Node(spec), Node(spec)
    root = first.chain.state().root()
    assert first.chain._final.tree is second.chain._final.tree, "made once"
    first.grow(first.pay("a", 0))
    assert second.chain.state().root() == root != first.chain.state().root()
    second.grow(second.pay("a", 0))
    assert first.chain.state().root() == second.chain.state().root()
    gc.collect()
    assert spec not in genesis_state._MADE
