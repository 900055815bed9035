"""Grinding: whatever a forger puts into its block, the draws of the next `stake_delay` heights stay as they are.

Only what enters a draw is computed, all of it by production code: the set of each height, from the state after the
variant, and the seed after its header. 2^16 variants: other transactions, stakes with fresh keys among them, other
times, other rounds, another proof of the same output (with another nonce inside, which a prover is free to choose).
"""

from __future__ import annotations

from hashlib import sha512

from msgspec.structs import replace

from blockchain.consensus.lottery import next_seed, vrf_alpha
from blockchain.consensus.pos import ProofOfStake
from blockchain.ledger.accounts import AccountLedger
from blockchain.ledger.state import FinalState, Overlay
from blockchain.primitives import vrf
from blockchain.primitives.block import Header
from blockchain.primitives.chain import ChainSpec, GenesisAccount, GenesisValidator
from blockchain.primitives.crypto import Address, Hash32, SigningKey
from blockchain.primitives.scalars import NO_SIGNATURE
from blockchain.primitives.transaction import Exchange, Payload, Stake, Transaction, Transfer
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Certificate
from tests.consensus.bench import block_of
from tests.samples import address, key, spec_of

VARIANTS = 2**13
DELAY = 8
FORGER, RICH = address("v0"), address("rich")
FORGER_KEY = key("v0")
SPEC: ChainSpec = spec_of(
    accounts=tuple(GenesisAccount(owner, 2**40) for owner in (FORGER, RICH)),
    validators=tuple(GenesisValidator(address(f"v{n}"), 1_000 + n) for n in range(10)),
    issuer=FORGER,
)
LEDGER = AccountLedger(SPEC)
POS = ProofOfStake(SPEC.hash)
FIRST_SEED = POS.first_seed()
PROOF = vrf.prove(FORGER_KEY.seed, vrf_alpha(SPEC.hash, FIRST_SEED, 1))
HEADER = replace(block_of(height=1).header, seed=FIRST_SEED, forger=FORGER, vrf_proof=PROOF)


def after_genesis() -> FinalState:
    final = FinalState()
    overlay = Overlay(final)
    LEDGER.genesis(overlay)
    final.commit(overlay)
    return final


FINAL = after_genesis()
FIRST_SET = LEDGER.validators(Overlay(FINAL), 1, None)
FRESH_KEYS = [key(f"fresh {n}").public_key for n in range(64)]


def transaction(variant: int) -> Transaction:
    """More stake of the forger's, stake under a fresh key of another account that it holds, money moved and made."""
    amount = 1 + variant
    kinds: list[tuple[Address, Payload]] = [
        (FORGER, Stake(amount)),
        (RICH, Stake(amount, FRESH_KEYS[variant // 4 % len(FRESH_KEYS)], NO_SIGNATURE)),
        (FORGER, Transfer(RICH, amount)),
        (FORGER, Exchange(RICH, amount)),
    ]
    sender, payload = kinds[variant % 4]
    return Transaction(1, sender, 0, variant % 3, None, payload)


def sets_after(variant: int) -> list[ValidatorSet]:
    """The sets of heights 2 to 1 + DELAY, and of the one after, as a node walks them from block to block."""
    overlay = Overlay(FINAL)
    LEDGER.apply(overlay, transaction(variant), 1)
    LEDGER.finish_block(overlay, header(variant), (), Certificate(0, 0, SPEC.hash, ()), FIRST_SET, FIRST_SET)
    walked = [LEDGER.validators(overlay, 2, FIRST_SET)]
    for height in range(3, 3 + DELAY):
        walked.append(LEDGER.validators(overlay, height, walked[-1]))
    return walked


def header(variant: int) -> Header:
    digest = Hash32(sha512(b"%d" % variant).digest()[:32])
    return replace(
        HEADER,
        time_ms=HEADER.time_ms + variant,
        round=variant % 7,
        transaction_root=digest,
        state_root=digest,
        transaction_count=variant % 5,
    )


def test_no_variant_of_a_block_changes_a_draw_of_the_next_heights() -> None:
    base = LEDGER.validators(Overlay(FINAL), 2, FIRST_SET)
    assert base == FIRST_SET
    changed_at_last = 0
    for variant in range(VARIANTS):
        walked = sets_after(variant)
        assert all(each is FIRST_SET for each in walked[:DELAY]), f"variant {variant}"
        changed_at_last += walked[DELAY] is not FIRST_SET
    assert changed_at_last == VARIANTS // 2, "the stakes did count, at the first height after the delay"


def test_the_next_seed_is_the_same_for_all_of_them() -> None:
    """Each verification takes half a millisecond, so a sample; the seed of a verified proof is in the test below."""
    seeds = {POS.seed_after(header(variant), FIRST_SET) for variant in range(0, VARIANTS, 32)}
    assert seeds == {next_seed(SPEC.hash, FIRST_SEED, vrf.output(PROOF))}


def other_proof(secret: SigningKey, alpha: bytes, nonce: int) -> bytes:
    """A proof with a nonce of the prover's choice: RFC 9381 §5.1 fixes it, and nobody can see whether it was kept."""
    half = sha512(secret.seed).digest()[:32]
    scalar = ((int.from_bytes(half, "little") & ((1 << 254) - 8)) | (1 << 254)) % vrf._GROUP_ORDER
    point = vrf._encode_to_curve(secret.public_key, alpha)
    gamma = vrf._multiply(scalar, point)
    challenge = vrf._challenge(secret.public_key, point, gamma, vrf._multiply_base(nonce), vrf._multiply(nonce, point))
    response = (nonce + int.from_bytes(challenge, "little") * scalar) % vrf._GROUP_ORDER
    return gamma + challenge + response.to_bytes(32, "little")


def test_other_proofs_of_the_output_are_other_bytes_and_the_same_seed() -> None:
    alpha = vrf_alpha(SPEC.hash, FIRST_SEED, 1)
    proofs = {other_proof(FORGER_KEY, alpha, nonce) for nonce in range(1, 33)}
    assert len(proofs) == 32 and PROOF not in proofs
    seeds = {POS.seed_after(replace(HEADER, vrf_proof=proof), FIRST_SET) for proof in proofs}
    assert seeds == {POS.seed_after(HEADER, FIRST_SET)}


def test_draws_are_those_of_seed_and_set() -> None:
    """With both unchanged, every draw is: the forgers of all rounds of the next height."""
    seed = POS.seed_after(HEADER, FIRST_SET)
    for variant in (0, 1, 2, 3, VARIANTS - 1):
        forgers = POS.forgers(POS.seed_after(header(variant), FIRST_SET), 2, sets_after(variant)[0])
        expected = POS.forgers(seed, 2, FIRST_SET)
        assert [forgers.forger(round) for round in range(20)] == [expected.forger(round) for round in range(20)]
