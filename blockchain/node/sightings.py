"""What a validator key is seen to have signed: messages of peers, and what final blocks show (docs/protocol.md §5.6).

A block shows the proposal of its forger, whose VRF proof is in the header, and the precommits of certificates: its own,
and the one of its parent in its body, which may have others. All of it was verified before it comes here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from blockchain.consensus.signing import position_of, step_of
from blockchain.errors import StoreError
from blockchain.primitives import codec
from blockchain.primitives.block import BLOCK_BYTES_MAX, Block, decode_block
from blockchain.primitives.crypto import Hash32, PublicKey
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Certificate, Proposal, Vote, precommit_of
from blockchain.seams import Store

BLOCKS_AT_ONCE: Final = 50  # of the store, looked through in one input: some 10 ms

Keys = Iterable[PublicKey]


class Sighting(Struct, frozen=True):
    """`key` signed `message` (which may lack its signature); `where` it was seen, in words."""

    key: PublicKey
    message: Vote | Proposal
    where: str

    def __str__(self) -> str:
        height, round, _ = position_of(self.message)
        kind = "proposal" if isinstance(self.message, Proposal) else step_of(self.message).name.lower()
        return f"a {kind} of height {height}, round {round}, {self.where}"


def seen_in_block(block: Block, block_id: Hash32, members: ValidatorSet, keys: Keys) -> list[Sighting]:
    """What its header shows; `members` is the set of its height."""
    header = block.header
    forger = members.get(header.forger)
    if forger is None or forger.key not in keys:
        return []
    proposal = Proposal(header.height, header.round, -1, block_id, header.forger)
    return [Sighting(forger.key, proposal, f"in the header of block {header.height}, with its VRF proof")]


def seen_in_certificate(certificate: Certificate, members: ValidatorSet, keys: Keys, where: str) -> list[Sighting]:
    """What a certificate shows; `members` is the set of its height."""
    own = {members.index[members.by_key[key]]: key for key in keys if key in members.by_key}
    if not own:
        return []
    seen = []
    for entry in certificate.precommits:
        if entry.index in own:
            vote = precommit_of(certificate, members.validators[entry.index].address, entry.signature)
            seen.append(Sighting(own[entry.index], vote, where))
    return seen


class Search:
    """Goes through the stored blocks from the newest down, some at a time, for what keys have signed."""

    def __init__(self, store: Store, lowest: dict[PublicKey, int]) -> None:
        """`lowest`: for each key the height at which it need not look any further down."""
        self._store = store
        self._lowest = lowest
        self._last = max(1, min(lowest.values(), default=1))
        self.height = store.head()  # the next to be looked at
        self._child: Block | None = None
        self._members: tuple[Hash32, ValidatorSet | None] = (Hash32(b""), None)

    @property
    def is_over(self) -> bool:
        return self.height < self._last

    def is_over_for(self, key: PublicKey) -> bool:
        """Whether all that could be news of this key was looked at."""
        return self.height < max(1, self._lowest.get(key, 1))

    def advance(self) -> list[Sighting]:
        """Look at the next blocks. One that cannot be read shows nothing, and ends no node."""
        found: list[Sighting] = []
        for _ in range(BLOCKS_AT_ONCE):
            if self.is_over:
                break
            try:
                found.extend(self._look_at(self.height))
            except StoreError:
                self._child = None
            self.height -= 1
        return found

    def _look_at(self, height: int) -> list[Sighting]:
        stored = self._store.block(height)
        if stored is None:
            return []
        block, child = decode_block(stored.raw), self._child
        self._child = block
        members = self._members_of(block)
        if members is None:
            return []
        keys = [key for key in self._lowest if key in members.by_key]
        if not keys:
            return []
        certificates = [codec.decode(stored.certificate, Certificate, bytes_max=BLOCK_BYTES_MAX)]
        if child is not None:
            certificates.append(child.parent_certificate)
        where = f"in a certificate of block {height}"
        shown = [one for each in certificates for one in seen_in_certificate(each, members, keys, where)]
        return [*seen_in_block(block, stored.id, members, keys), *shown]

    def _members_of(self, block: Block) -> ValidatorSet | None:
        """The set of its height; the same one again while the hash in the headers is the same."""
        known, members = self._members
        if known != block.header.validators_hash or members is None:
            members = self._store.validators(block.header.height)
            self._members = (block.header.validators_hash, members)
        return members
