"""Final blocks as JSON, in pieces that are made once: a final block never changes, and readers ask for the same ones.

The block itself is read from the store for every answer, with its checksum: what the disk no longer holds is not
answered from here. What is kept belongs to one id and is given only for a block that is equal in every byte.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import msgspec

from blockchain.primitives import codec, merkle
from blockchain.primitives.block import BLOCK_BYTES_MAX, Block, decode_block
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.jsonform import (
    JsonObject,
    certificate_to_json,
    evidence_to_json,
    header_to_json,
    transaction_to_json,
)
from blockchain.primitives.transaction import PAYMENTS, Transaction, decode_transaction
from blockchain.primitives.vote import Certificate
from blockchain.seams import FinalBlock

Parties = tuple[Address, Address | None]
KEPT_BYTES_MAX: Final = 4 * 1024 * 1024  # of blocks as they are stored; with all their pieces some ten times that


class RenderedBlock:
    """One final block. Any thread may ask for pieces: two that ask for the same make it twice, and it is the same."""

    def __init__(self, final: FinalBlock) -> None:
        self.final = final
        self._block: Block | None = None
        self._transactions: dict[int, tuple[Parties, msgspec.Raw]] = {}  # by position
        self._full: msgspec.Raw | None = None
        self._sealed: JsonObject | None = None
        self._tree: tuple[Sequence[bytes], ...] | None = None

    @property
    def bytes_left(self) -> int:
        """How many bytes of it are still to be worked through for a page with it, which has all transactions."""
        is_done = self._block is not None and len(self._transactions) == len(self._block.transactions)
        return 0 if is_done else len(self.final.raw)

    @property
    def bytes_left_in_full(self) -> int:
        """The same with the certificates, which alone may be most of it."""
        return 0 if self._full is not None else len(self.final.raw) + len(self.final.certificate)

    @property
    def bytes_to_decode(self) -> int:
        """For an answer with few of its transactions."""
        return 0 if self._block is not None else len(self.final.raw)

    @property
    def bytes_left_to_prove(self) -> int:
        """The same for `path`, with which each id is hashed, and `sealed_header`."""
        return 0 if self._tree is not None and self._sealed is not None else _size(self.final)

    @property
    def block(self) -> Block:
        if self._block is None:
            self._block = decode_block(self.final.raw)
        return self._block

    def transaction(self, position: int) -> msgspec.Raw:
        """A transaction with its id."""
        return self._transaction(position)[1]

    def parties(self, position: int) -> Parties:
        """Who signed a transaction, and whom it pays, where it is a payment."""
        return self._transaction(position)[0]

    def _transaction(self, position: int) -> tuple[Parties, msgspec.Raw]:
        found = self._transactions.get(position)
        if found is None:
            transaction = decode_transaction(self.block.transactions[position])
            fields = {"id": self.final.transaction_ids[position].hex(), **transaction_to_json(transaction)}
            found = parties_of(transaction), _raw(fields)
            self._transactions[position] = found
        return found

    def path(self, position: int) -> tuple[Hash32, ...]:
        """The audit path of a transaction's id to the header's transaction_root."""
        if self._tree is None:
            self._tree = merkle.levels(self.final.transaction_ids)
        return merkle.inclusion_proof(self._tree, position)

    def sealed_header(self) -> JsonObject:
        """What every proof ends in: the header, as bytes and in clear, and the certificate that made it final."""
        if self._sealed is None:
            header = self.block.header
            self._sealed = {
                "header": codec.encode(header).hex(),
                "block": _raw({"id": self.final.id.hex(), **header_to_json(header)}),
                "certificate": _raw(certificate_to_json(self._certificate())),
            }
        return self._sealed

    def on_page(self) -> JsonObject:
        """A page's form of a block: without the certificates, which grow with the number of validators."""
        return {
            "id": self.final.id.hex(),
            **header_to_json(self.block.header),
            "transactions": [self.transaction(position) for position in range(len(self.block.transactions))],
            "evidence": [evidence_to_json(item) for item in self.block.evidence],
        }

    def full(self) -> msgspec.Raw:
        """The block with the certificate that made it final, and its parent's."""
        if self._full is None:
            certificates = {
                "parent_certificate": certificate_to_json(self.block.parent_certificate),
                "certificate": certificate_to_json(self._certificate()),
            }
            self._full = _raw({**self.on_page(), **certificates})
        return self._full

    def _certificate(self) -> Certificate:
        return codec.decode(self.final.certificate, Certificate, bytes_max=BLOCK_BYTES_MAX)


class RenderedBlocks:
    """Those that were asked for last, `bytes_max` of them as they are stored. Used inside one event loop."""

    def __init__(self, bytes_max: int = KEPT_BYTES_MAX) -> None:
        self.bytes_max = bytes_max
        self.bytes = 0
        self._kept: OrderedDict[Hash32, RenderedBlock] = OrderedDict()

    def of(self, final: FinalBlock) -> RenderedBlock:
        """What there is of this block, or a beginning."""
        found = self._kept.get(final.id)
        if found is not None and (found.final is final or found.final == final):
            self._kept.move_to_end(final.id)
            return found
        made = RenderedBlock(final)
        self._forget(final.id)
        self._kept[final.id] = made
        self.bytes += _size(final)
        while self.bytes > self.bytes_max:
            self._forget(next(iter(self._kept)))
        return made

    def _forget(self, block_id: Hash32) -> None:
        before = self._kept.pop(block_id, None)
        if before is not None:
            self.bytes -= _size(before.final)


def parties_of(transaction: Transaction) -> Parties:
    return transaction.sender, transaction.payload.recipient if isinstance(transaction.payload, PAYMENTS) else None


def _raw(value: JsonObject) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _size(final: FinalBlock) -> int:
    return len(final.raw) + len(final.certificate)
