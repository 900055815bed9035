"""What a person vouches for: a block of the chain by height and id, or the chain as it is (docs/protocol.md §8.8)."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from blockchain.primitives.crypto import Hash32


class Checkpoint(Struct, frozen=True):
    """The block of this height is the one with this id."""

    height: int
    id: Hash32

    def is_missed(self, height: int, block_id: Hash32) -> bool:
        return height == self.height and block_id != self.id


class Vouched(Struct, frozen=True):
    """What the settings say. `genesis`: the chain is trusted from genesis on, however old the newest block is."""

    checkpoint: Checkpoint | None = None
    genesis: bool = False


UNVOUCHED: Final = Vouched()  # nobody says anything of the chain
