"""A transaction in the pool, and how its story grows there (docs/protocol.md §10.2)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from msgspec import Struct

from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.transaction import PAYMENTS, Transfer, VerifiedTransaction
from blockchain.seams import Emit, Stage, Story, TransactionRefused, TransactionStory

STAGES_KEPT_MAX: Final = 4  # of one name in one story: what happens each round of a stalled height says nothing new
REPLACEMENT_PERCENT: Final = 10  # by how much a replacement's fee must exceed the old one, and by at least 1
WAITS: Final = -1  # instead of a place among the ready
GONE: Final = -2

_ENDS: Final = {"replaced": "replaced", "evicted": "evicted", "expired": "expired", "waited_too_long": "expired"}


class Entry(Struct, eq=False):
    """`arrival` counts additions. `small_steps`: how often its place changed hands for less than the full step.

    What is asked for often stands here once more, so that nobody follows three references for it.
    """

    verified: VerifiedTransaction
    arrival: int
    story: Story
    id: Hash32
    sender: Address
    nonce: int
    fee: int
    cost: int  # what it takes from its sender's balance, the fee included
    recipient: Address | None  # of a payment to another account
    is_stake: bool  # of a kind that concerns stake
    is_transfer: bool
    size: int  # in bytes
    place: int = WAITS  # the number in the order in which they became ready
    small_steps: int = 0
    waits_since: int = 0  # wall time in ms, while it waits

    @property
    def received_ms(self) -> int:
        return self.story[0].time_ms

    def note(self, stage: Stage) -> None:
        self.story = _longer(self.story, stage)

    def note_waiting(self, now: int, code: str, why: str, *, was_ready: bool = False) -> None:
        """From now on it waits; one that was written down waiting, and is not ready since, has waited since then."""
        if self.story[-1].name != "waiting" or (was_ready and self.story[-1].time_ms != now):
            self.note(Stage("waiting", now, code=code, why=why))
        self.waits_since = self.story[-1].time_ms


def entry_of(verified: VerifiedTransaction, arrival: int, story: Story, cost: int) -> Entry:
    transaction = verified.transaction
    payload, sender = transaction.payload, transaction.sender
    recipient: Address | None = None
    is_stake = True
    if isinstance(payload, PAYMENTS):
        is_stake = False
        if payload.recipient != sender:
            recipient = payload.recipient
    return Entry(
        verified,
        arrival,
        story,
        verified.id,
        sender,
        transaction.nonce,
        transaction.fee,
        cost,
        recipient,
        is_stake,
        isinstance(payload, Transfer),
        len(verified.raw),
    )


def note_proposed(entries: Collection[Entry], stage: Stage) -> None:
    """One proposal has them all. Those that shared a story, as all do that came in together, share the next one."""
    stories = {id(entry.story): entry.story for entry in entries}
    proposed = {same: _proposed(story, stage) for same, story in stories.items()}
    for entry in entries:
        entry.story = proposed[id(entry.story)]


def _proposed(story: Story, stage: Stage) -> Story:
    """Once a proposal, however often it is heard."""
    is_known = any(other.height == stage.height and other.round == stage.round for other in story)
    return story if is_known else _longer(story, stage)


def _longer(story: Story, stage: Stage) -> Story:
    """With a stage more; of those with one name the newest are kept."""
    if len(story) >= STAGES_KEPT_MAX:
        same = [number for number, other in enumerate(story) if other.name == stage.name]
        if len(same) >= STAGES_KEPT_MAX:
            story = (*story[: same[0]], *story[same[0] + 1 :])
    return (*story, stage)


def replacement_fee(fee: int) -> int:
    """The least fee with which a client's transaction takes the place of one with this fee (protocol §10)."""
    return fee + max(1, fee * REPLACEMENT_PERCENT // 100)


def received(now: int, *, from_client: bool) -> Stage:
    return Stage("received", now, why="from a client" if from_client else "from a peer")


def ended(entry: Entry, code: str, why: str, now: int) -> TransactionStory:
    """The whole story of one that leaves the pool without being final here."""
    return TransactionStory(entry.id, (*entry.story, ending(code, why, now)))


def ending(code: str, why: str, now: int) -> Stage:
    return Stage(_ENDS.get(code, "refused"), now, code=code, why=why)


def refusal_event(story: TransactionStory) -> Emit:
    """To be said of a transaction that ended without being final."""
    return Emit(TransactionRefused(story.id, story.stages[-1].code, story.stages[-1].why))
