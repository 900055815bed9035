"""The protocols between the rooms, and all the abstraction there is: state, ledger, application, engine, store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from blockchain.primitives.block import Header, VerifiedBlock
from blockchain.primitives.crypto import Address, Hash32, PublicKey
from blockchain.primitives.transaction import Transaction
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Certificate, Vote
from blockchain.seams.effects import Batch, Effect, FinalBlock, SliceEnd
from blockchain.seams.inputs import EngineInput
from blockchain.seams.settlement import Settlement
from blockchain.seams.story import PendingTransaction, Story
from blockchain.seams.turn import Turn

R = TypeVar("R")


class State(Protocol):
    """The records of the ledger as seen from one block: an overlay on its parent's, above the final one."""

    def get(self, key: bytes) -> bytes | None: ...

    def set(self, key: bytes, value: bytes | None) -> None: ...

    def read(self, key: bytes, form: type[R]) -> R | None:
        """The record as a value of this form."""

    def write(self, key: bytes, value: object) -> None:
        """Set the record to a frozen value; it is encoded once, when bytes are asked for."""

    def drop(self, key: bytes) -> None:
        """Forget this overlay's own change of the record."""

    def has_changed(self, key: bytes) -> bool:
        """Whether this overlay itself says what the record is."""

    def merge(self) -> frozenset[bytes]:
        """Make this overlay's own changes those of the one that it is a child of; returns their keys."""

    def items(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Every record whose key begins with this one byte, in key order."""

    def child(self) -> State: ...

    def changes(self) -> Mapping[bytes, bytes | None]: ...

    def root(self) -> Hash32: ...


class Ledger(Protocol):
    """Rules of value."""

    def genesis(self, state: State) -> None:
        """Write the state before block 1."""

    def check(self, transaction: Transaction, height: int) -> None:
        """What needs no state. Raises InvalidTransaction."""

    def apply(self, state: State, transaction: Transaction, height: int) -> None:
        """Change the overlay, or raise InvalidTransaction and leave it as it was."""

    def apply_but_fee(self, state: State, transaction: Transaction, height: int) -> None:
        """The same without the fee's way to the fees of the block: for who collects those of many, or needs none."""

    def collect(self, state: State, fees: int) -> None:
        """Add to the fees of the block in progress."""

    def apply_all(self, state: State, transactions: Iterable[Transaction], height: int) -> None:
        """Apply those of a block, in their order. Raises InvalidBlock for the first that does not apply."""

    def finish_block(
        self,
        state: State,
        header: Header,
        offenders: tuple[Address, ...],
        parent_certificate: Certificate,
        parent_validators: ValidatorSet,
        validators: ValidatorSet,
    ) -> Settlement:
        """What ends a block (protocol §3.5): penalties, releases, rewards, absences, and the next set to be closed.

        `offenders`: whom the block's evidence accuses; it has been checked, nobody stands twice and none is out.
        `parent_certificate` is the one in the block's body, `parent_validators` the set that signed it, `validators`
        the set of the block's own height.
        """

    def cost(self, transaction: Transaction) -> int:
        """What it takes from its sender's balance, the fee included."""

    def balance(self, state: State, address: Address) -> int: ...

    def concerns_stake(self, key: bytes) -> bool:
        """Whether the end of a block, and a height, may change this record: of stake, and nobody's account."""

    def pay(self, state: State, transaction: Transaction) -> None:
        """Do to accounts what it does there, and check nothing: sums may be put together in any order."""

    def take_back(self, state: State, transaction: Transaction) -> None:
        """The opposite, with what was minted. Of stake and of fees nothing is taken back."""

    def forget_stakes(self, state: State, final: State) -> None:
        """The sums that concern stake are the final ones, in a state above or a child of one; its records of stake are
        the caller's to drop. What was minted ahead stays; nobody reads the fees ahead.
        """

    def repay(self, state: State, final: State, settlement: Settlement, unforeseen: Sequence[Transaction] = ()) -> bool:
        """Bring a state above the final one up to what a block paid, minted and changed in `final`.

        `state` holds the block's transactions but for the `unforeseen`, and others; its records of stake are the
        caller's to drop. False: some of what is ahead may not apply any more. Nobody reads the fees ahead: they are
        none afterwards.
        """

    def validators(self, state: State, height: int, previous: ValidatorSet | None) -> ValidatorSet:
        """The set of `height`, at most the state's own height + 1 + `stake_delay`.

        `previous` is the set of `height` − 1: returned as it is when nothing changes at `height`, so that the cost
        of a block does not grow with the number of validators. None: build the set from the records.
        """

    def key_at(self, state: State, address: Address, height: int) -> PublicKey | None:
        """The validator key of an account that counts at `height`, a closed one; None: it had none yet."""

    def is_out(self, state: State, address: Address) -> bool:
        """Whether evidence put it out for good."""

    def has_stake(self, state: State, address: Address) -> bool:
        """Whether it has stake that can be taken: bonded, waiting or unbonding; or is out."""

    def next_nonce(self, state: State, sender: Address) -> int: ...


class Application(Protocol):
    """What an engine may ask of the chain. The height in progress is always the head's + 1."""

    @property
    def height(self) -> int:
        """The height in progress."""

    @property
    def seed(self) -> Hash32:
        """The seed of the height in progress."""

    @property
    def validators(self) -> ValidatorSet:
        """The set of the height in progress."""

    @property
    def parent_validators(self) -> ValidatorSet:
        """The set of the head: whose precommits its certificate holds."""

    @property
    def parent_certificate(self) -> Certificate:
        """This node's own certificate of the head."""

    @property
    def parent_time_ms(self) -> int:
        """The time of the head, or of genesis."""

    def is_block_due(self) -> bool:
        """The trigger (protocol §5.3), by what timers have told; no clock is read for it."""

    def build_block(self, round: int, vrf_proof: bytes, certificate: Certificate, now: int) -> VerifiedBlock:
        """A block on the head; never fails where the trigger holds."""

    def check_block(self, block: VerifiedBlock) -> None:
        """Raises InvalidBlock, or ForkFound; uses neither clock nor pool, and remembers what it computed."""

    def keep_prevotes(self, height: int, prevotes: tuple[Vote, ...]) -> list[Effect]:
        """Keep the prevotes of the height in progress, which took more than one round (protocol §5.8)."""

    def kept_prevotes(self, height: int) -> tuple[Vote, ...]:
        """Those kept of a height; () where it took one round, or is too old."""

    def finalize(self, block: VerifiedBlock, certificate: Certificate, round: int, now: int) -> list[Effect]:
        """Make a checked block of the height in progress final in this node's `round`, and move the head to it."""


class Engine(Protocol):
    """Rules of agreement."""

    def handle(self, given: EngineInput, now: int) -> list[Effect]: ...

    def verify_seal(self, block: VerifiedBlock, certificate: Certificate, validators: ValidatorSet) -> None:
        """Lets sync check blocks without running rounds. Raises InvalidCertificate."""


class Store(Protocol):
    """Reads, and one atomic write. Reads see every earlier write."""

    def head(self) -> int:
        """The height of the newest final block; 0 when there is none."""

    def block(self, height: int) -> FinalBlock | None: ...

    def height_of(self, block_id: bytes) -> int | None: ...

    def locate(self, transaction_id: bytes) -> tuple[int, int] | None:
        """The height and the position in its block of a final transaction."""

    def history(self, address: bytes, before: tuple[int, int] | None, count: int) -> list[tuple[int, int]]:
        """Height and position of the final transactions that name an account as sender or recipient, newest first.

        At most `count`, strictly before the place `before`; None: from the newest on.
        """

    def story(self, transaction_id: bytes) -> Story:
        """What became of a transaction here: how it ended or was refused, then how it became final; () if unknown.

        Bounded (protocol §10.2): of a final transaction nothing may be known, while `locate` finds it.
        """

    def validators(self, height: int) -> ValidatorSet | None:
        """The set of a height up to the head's + 1; None where the store was not told (one of an earlier format)."""

    def turns(self) -> list[Turn]:
        """Those of the newest blocks, oldest first; bounded (protocol §11)."""

    def state_records(self) -> dict[bytes, bytes]:
        """Every record of the final state, in any order; the caller's own."""

    def slice_end(self) -> SliceEnd:
        """Where the newest slice of the state ended."""

    def round_record(self) -> bytes | None: ...

    def round_block(self, block_id: bytes) -> bytes | None: ...

    def pending(self) -> list[PendingTransaction]:
        """The transactions of the pool, in the order in which they were added."""

    def evidence(self) -> list[bytes]: ...

    def prevotes(self, height: int) -> bytes | None:
        """Those that this node kept of a height that took more than one round (protocol §5.8)."""

    def halted(self) -> str:
        """Why this node votes no more: the first reason that was written; empty: it may."""

    def untrusted_above(self) -> int | None:
        """The height above which nothing is trusted (docs/protocol.md §8.8); None: everything is."""

    def write(self, batch: Batch) -> None:
        """Apply the whole batch, durably, or nothing of it."""
