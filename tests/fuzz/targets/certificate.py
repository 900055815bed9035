"""A certificate: decoded and checked against a set. One that passes holds nothing that was not signed."""

from __future__ import annotations

from random import Random

from blockchain.errors import InvalidCertificate, MalformedMessage
from blockchain.primitives import codec
from blockchain.primitives.block import BLOCK_BYTES_MAX
from blockchain.primitives.jsonform import certificate_to_json
from blockchain.primitives.validators import verify_certificate
from blockchain.primitives.vote import Certificate, certificate_hash, precommit_of, verify_message
from tests.fuzz.chain import CERTIFICATES, resigned_certificate
from tests.fuzz.target import Target
from tests.fuzz.tree_mutation import codec_mutation
from tests.node.test_verify import SET
from tests.samples import GENESIS_HASH


def samples() -> list[bytes]:
    return [codec.encode(one) for one in CERTIFICATES]


_CHANGE = codec_mutation(samples)


def mutate(raw: bytes, rng: Random) -> bytes:
    changed = _CHANGE(raw, rng)
    return resigned_certificate(changed, rng) if rng.random() < 0.5 else changed


def run(raw: bytes) -> bool:
    try:
        certificate = codec.decode(raw, Certificate, bytes_max=BLOCK_BYTES_MAX)
    except MalformedMessage:
        return False
    assert codec.encode(certificate) == raw
    certificate_to_json(certificate)
    certificate_hash(certificate, GENESIS_HASH)
    try:
        stake = verify_certificate(certificate, SET, GENESIS_HASH)
    except InvalidCertificate:
        return True
    indices = [entry.index for entry in certificate.precommits]
    assert indices == sorted(set(indices)) and 3 * stake > 2 * SET.total
    for entry in certificate.precommits:
        member = SET.validators[entry.index]
        assert verify_message(precommit_of(certificate, member.address, entry.signature), member.key, GENESIS_HASH)
    return True


TARGET = Target(samples, run, mutate)
