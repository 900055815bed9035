"""The state: records by key, and the authenticated tree over them.

The final state is a flat base; what a block changes is an overlay on it, so that several blocks can be tried on the
same head and one of them kept. Records are small byte strings; what they mean is the ledger's business. The key of a
record in the tree is its hash, so that nobody chooses its place (docs/protocol.md §3.6).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from itertools import takewhile, tee
from typing import TypeVar

from blockchain.ledger.ordered_keys import OrderedKeys
from blockchain.ledger.smt import SparseMerkleTree, Speculation
from blockchain.ledger.smt_build import HERE, Builders, cut
from blockchain.primitives import codec
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.records import tree_key, tree_keys
from blockchain.primitives.smt_proof import StateProof

R = TypeVar("R")


class FinalState:
    """The records after the newest final block, with their keys in order, and their tree."""

    def __init__(
        self, records: Mapping[bytes, bytes] | Iterable[tuple[bytes, bytes]] = (), builders: Builders = HERE
    ) -> None:
        """From all records, in any order, each once; `builders` may build the tree elsewhere."""
        self._records = dict(records)
        hashed = builders.hash_all(cut(self._records))  # while the keys are put in order, where others do it
        self._keys = OrderedKeys(self._records)
        self.tree = SparseMerkleTree.of_leaves(hashed, builders)
        self._is_shared = False
        self._names: dict[bytes, bytes] | None = None  # record keys by tree key, once somebody asks for a proof

    def shared(self) -> FinalState:
        """One that can be changed without this one, which stays as it is; a copy is made with the first change."""
        other = copy(self)
        other._is_shared = True
        return other

    def _part(self) -> None:
        """Hold all that changes alone."""
        self._is_shared = False
        self._records = dict(self._records)
        self._keys = self._keys.copied()
        self.tree = self.tree.copied()
        self._names = None

    def __len__(self) -> int:
        return len(self.tree)

    def get(self, key: bytes) -> bytes | None:
        return self._records.get(key)

    def since(self, key: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The records of this key and of those above it, in key order. Not to be gone on with after a commit."""
        keys, again = tee(self._keys.since(key))
        return zip(keys, map(self._records.__getitem__, again), strict=True)

    def items(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The records whose keys begin so, in key order. Not to be gone on with after a commit."""
        return takewhile(lambda record: record[0].startswith(prefix), self.since(prefix))

    def speculate(self, changes: Mapping[bytes, bytes | None]) -> Speculation:
        """What the tree would be with these changes; nothing changes."""
        return self.tree.speculate(dict(zip(tree_keys(changes), changes.values(), strict=True)))

    def commit(self, overlay: Overlay) -> None:
        """Make an overlay on this very state part of it."""
        if self._is_shared:
            self._part()
        self.tree.commit(overlay.speculation())
        changes, records = overlay.changes(), self._records
        for key, value in changes.items():
            if value is not None:
                if key not in records:
                    self._keys.add(key)
                records[key] = value
            elif records.pop(key, None) is not None:
                self._keys.remove(key)
        if self._names is not None:
            self._note_names(self._names, changes)

    def prove(self, keys: Sequence[bytes]) -> StateProof:
        """The proof of the present values, or of the absence, of these records.

        An absence is often shown by the leaf of another record, found by its tree key. The first proof makes the table
        for that, some 200 bytes and a microsecond a record: most nodes are never asked.
        """
        if self._names is None:
            self._names = {tree_key(key): key for key in self._records}
        return self.tree.prove([tree_key(key) for key in keys], self._value_at)

    def _note_names(self, names: dict[bytes, bytes], changes: Mapping[bytes, bytes | None]) -> None:
        """Keep the table in step with the records."""
        for place, (key, value) in zip(tree_keys(changes), changes.items(), strict=True):
            if value is None:
                names.pop(place, None)
            else:
                names[place] = key

    def _value_at(self, place: bytes) -> bytes:
        """The value of a leaf of the tree."""
        assert self._names is not None, "no proof without the table"
        value = self.get(self._names[place])
        assert value is not None, "a leaf without its record"
        return value


class Overlay:
    """Changes on top of the final state, or of another overlay: what a block, or one transaction, does.

    A record that is written as a value stays one until somebody asks for bytes: the sender of ten transactions in a
    block is encoded once. Values are frozen; a key stands in one of the two tables of changes.
    """

    def __init__(self, base: FinalState, parent: Overlay | None = None) -> None:
        self._base = base
        self._parent = parent
        self._changes: dict[bytes, bytes | None] = {}
        self._values: dict[bytes, object] = {}  # changes too, not encoded yet
        self._speculation: Speculation | None = None  # dropped whenever something changes

    def get(self, key: bytes) -> bytes | None:
        if key in self._values:
            self._encode()
        if key in self._changes:
            return self._changes[key]
        return self._base.get(key) if self._parent is None else self._parent.get(key)

    def set(self, key: bytes, value: bytes | None) -> None:
        assert len(key) > 0, "a record without a key"
        self._values.pop(key, None)
        self._changes[key] = value
        self._speculation = None

    def read(self, key: bytes, form: type[R]) -> R | None:
        """The record as a value; decoded only where it was not written as one."""
        value = self._values.get(key)
        if value is None:
            return self._read_below(key, form)
        assert isinstance(value, form), "a record of another form than was written"
        return value

    def _read_below(self, key: bytes, form: type[R]) -> R | None:
        """What is no value here."""
        if key in self._changes:
            raw = self._changes[key]
        elif self._parent is None:
            raw = self._base.get(key)
        else:
            return self._parent.read(key, form)
        # What is in the state was encoded here, or stands under a state root that was compared.
        return None if raw is None else codec.decode_again(raw, form)

    def write(self, key: bytes, value: object) -> None:
        """Set a record to a frozen value."""
        if key in self._changes:
            del self._changes[key]
        self._values[key] = value
        self._speculation = None

    def drop(self, key: bytes) -> None:
        """Forget this overlay's own change of a record: what is below shows again."""
        self._values.pop(key, None)
        self._changes.pop(key, None)
        self._speculation = None

    def has_changed(self, key: bytes) -> bool:
        """Whether this overlay itself, and not one below, says what the record is."""
        return key in self._values or key in self._changes

    def merge(self) -> frozenset[bytes]:
        """Make this overlay's own changes its parent's; returns the keys of them."""
        assert self._parent is not None, "the final state takes changes by commit"
        for key, raw in self._changes.items():
            self._parent.set(key, raw)
        for key, value in self._values.items():
            self._parent.write(key, value)
        return frozenset((*self._changes, *self._values))

    def items(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Every record whose key begins with this one byte, in key order."""
        assert len(prefix) == 1, "records are grouped by the first byte of their key"
        records: dict[bytes, bytes | None] = dict(self._base.items(prefix))
        records.update((key, value) for key, value in self.changes().items() if key[:1] == prefix)
        return ((key, value) for key, value in sorted(records.items()) if value is not None)

    def child(self) -> Overlay:
        return Overlay(self._base, self)

    def changes(self) -> dict[bytes, bytes | None]:
        """Everything that differs from the final state, parents' changes included."""
        self._encode()
        if self._parent is None:
            return self._changes
        return {**self._parent.changes(), **self._changes}

    def _encode(self) -> None:
        self._changes.update(zip(self._values, codec.encode_all(self._values.values()), strict=True))
        self._values.clear()

    def root(self) -> Hash32:
        """The root of the tree with these changes."""
        return self.speculation().root

    def speculation(self) -> Speculation:
        """The tree's nodes that these changes touch; computed once, for the root and for the commit."""
        if self._parent is not None:
            return self._base.speculate(self.changes())  # not kept: the parent may change beneath it
        if self._speculation is None:
            self._speculation = self._base.speculate(self.changes())
        return self._speculation
