"""Look before signing: whether this node may sign with the keys that it holds, and why not (docs/protocol.md §5.6).

A key must not sign twice, whoever starts it where. So a validator listens before its first vote, and goes on listening
while it votes, for signs of somebody else who signs with its key: an announcement of another process that runs at the
same time, or a vote, a proposal or evidence that its signing record does not hold. Then it signs nothing any more until
it is started again, and goes on saying that it is there, so that the other one learns of it too.

Theory of operation. *Held* is all up to the last position in the record, which is written before a signature leaves:
what comes back to a node that was killed is always held. Time counts in ticks, and only while somebody is there to be
heard. The record may be missing, or older than what the key has signed: the blocks in the store are looked through, and
the node waits until it is level with its peers. This room signs and sends nothing; the core asks it after each input.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from blockchain.consensus.bft import BftEngine
from blockchain.consensus.evidence import accused, author_of
from blockchain.consensus.signing import last_position, position_of, step_of, unsigned
from blockchain.node.announcements import NEWS_MS
from blockchain.node.chain import Chain
from blockchain.node.level import Level
from blockchain.node.sightings import Search, Sighting, seen_in_block, seen_in_certificate
from blockchain.node.sync import Sync
from blockchain.primitives.block import VerifiedBlock
from blockchain.primitives.crypto import Address, PublicKey
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Announcement, Certificate, Evidence, Proposal, Step, Vote, verify_message
from blockchain.seams import (
    Effect,
    Emit,
    PeerId,
    SetTimer,
    SigningBegun,
    SigningRecord,
    SigningStopped,
    Started,
    Store,
    TimerKey,
    TimerKind,
)

AHEAD_MAX_MS: Final = 86_400_000  # no clock in use is wrong by more: one that was must not stop its validator for ever
_PEER_SHOWN: Final = 16  # hex digits of a node id in a sentence


class Caution(Struct, frozen=True):
    """What the settings say of looking before signing.

    `look_ms`: for how long a validator listens before it signs; 0: not at all. `sign_anew`: a person says that nobody
    else signs with its keys, so that what they are seen to have signed is of the past. `is_on` False: no look at all;
    no setting says so, it is there to show what happens then.
    """

    look_ms: int = 0
    sign_anew: bool = False
    is_on: bool = True


CAREFUL: Final = Caution()  # waits for nothing, and stops where it sees anything


class Lookout:
    """`why` says why this node signs nothing with the key of the height in progress; empty: nothing speaks against it.

    `is_silent` is what the core goes by: it holds too while no key of this node is in the set, so that whoever comes
    into the set looks first.
    """

    def __init__(
        self, chain: Chain, engine: BftEngine, sync: Sync, store: Store, keys: frozenset[PublicKey], caution: Caution
    ) -> None:
        self._chain = chain
        self._engine = engine
        self._sync = sync
        self._store = store
        self._keys = keys if caution.is_on else frozenset()
        self._caution = caution
        self._records: dict[PublicKey, SigningRecord] = {}
        self._found: dict[PublicKey, str] = {}  # why a key is not used any more
        self._floors: dict[PublicKey, int] = {}  # the height up to which a key that signs anew had signed
        self._search = Search(store, {})
        self._instance = 0
        self._key: PublicKey | None = None  # of the height in progress
        self._validator: Address | None = None
        self._since_ms = 0  # wall time from which on nobody else may announce itself
        self._announced_ms = 0
        self._is_looking = False
        self._listened_ms = 0
        self._level = Level(sync, caution.look_ms)
        self._out: list[Effect] = []
        if self._keys:
            chain.on_final = self._on_final

    @property
    def is_silent(self) -> bool:
        return bool(self._keys) and (self._key is None or self._is_looking or self._key in self._found)

    @property
    def is_stopped(self) -> bool:
        """Whether somebody else was seen to sign with the key: only a new start may end that."""
        return self._key in self._found

    @property
    def why(self) -> str:
        if self._key is None:
            return ""
        return self._found.get(self._key) or (self._awaited(self._key) if self._is_looking else "")

    # ------------------------------------------------------------------------------------------------ beginning

    def on_started(self, given: Started, now: int) -> None:
        """Before the engine begins: what the store shows is looked at first, as far as it goes at once."""
        self._records = {record.key: record for record in given.records}
        self._keys &= self._records.keys()
        if not self._keys:
            return
        self._instance = given.instance
        self._search = Search(self._store, {key: record.height for key, record in self._records.items()})
        for message in self._engine.current.signed:
            self._see_message(message, "in this node's own store")
        self.advance()
        self._take_up(now)
        self._end_look()

    def advance(self) -> None:
        """Look through some more of the store."""
        for seen in self._search.advance():
            self._see(seen)
        if not self._search.is_over:
            self._out.append(SetTimer(TimerKey(TimerKind.LOOK), 0))

    def follow(self, now: int) -> list[Effect]:
        """After each input: whether the key of the height in progress is another, and whether this node has looked."""
        if self._key != self._engine.key and self._take_up(now):
            self._out.append(SetTimer(TimerKey(TimerKind.ANNOUNCE), 0))
        self._end_look()
        effects, self._out = self._out, []
        return effects

    def on_tick(self, elapsed_ms: int) -> None:
        if self._is_looking and (self._sync.best_height > 0 or self._is_alone()):
            self._listened_ms += elapsed_ms

    def _take_up(self, now: int) -> bool:
        """The key of the height in progress; True: this node has come into the set, and looks around."""
        if not self._keys:
            return False
        before = self._validator
        self._key, self._validator = self._engine.key, self._engine.validator
        if self._key is None:
            self._is_looking = False
            return False
        if self._validator == before:  # another key of the same validator: only what it signed is still to be known
            self._is_looking = self._is_looking or not self._search.is_over_for(self._key)
            return False
        self._since_ms, self._listened_ms, self._is_looking = now, 0, True
        self._level = Level(self._sync, self._caution.look_ms)
        return True

    # ------------------------------------------------------------------------------------------------ looking

    def _end_look(self) -> None:
        if not self._is_looking or self._key is None:
            return
        self._level.note(self._listened_ms)
        if self._awaited(self._key):
            return
        self._is_looking = False
        if self._key in self._floors:
            self._floors[self._key] = self._floor(self._floors[self._key])
            self._engine.voice.silence(self._floors[self._key])
        if self._must_listen(self._key) and self._key not in self._found:
            from_height = max(self._floors.get(self._key, 0) + 1, self._chain.height)
            self._out.append(Emit(SigningBegun(from_height)))

    def _awaited(self, key: PublicKey) -> str:
        """What is still to be done before this node may sign, in words; empty: nothing."""
        if not self._search.is_over_for(key):
            return f"looks through its blocks for what its key has signed, at height {self._search.height} now"
        if not self._must_listen(key):
            return ""
        best = self._sync.best_height
        if best == 0 and not self._is_alone():
            return "listens for others that sign with its key: no peer has told its height yet"
        left_ms = self._caution.look_ms - self._listened_ms
        if left_ms > 0:
            return f"listens for others that sign with its key, for {-(-left_ms // 1000)} s more"
        return f"catches up before it signs: peers are at height {best - 1}" if self._level.is_behind else ""

    def _must_listen(self, key: PublicKey) -> bool:
        """Whether it has to be level with its peers first. A demo's keys are everybody's: nothing to protect there."""
        is_new = self._records[key].is_new and not self._chain.spec.demo
        return self._caution.look_ms > 0 or self._caution.sign_anew or is_new

    def _is_alone(self) -> bool:
        """Whether it makes blocks final by itself: then there may be nobody to be heard."""
        return self._validator is not None and self._is_quorum(self._own_stake())

    def _floor(self, seen: int) -> int:
        """The height up to which a key that signs anew stays silent, which was seen to have signed at `seen`.

        The height in progress too, where it may have a lock that it has forgotten. Not so where nothing of it was seen
        there and nothing can become final without it: such a chain would stand for good.
        """
        others = self._chain.validators.total - self._own_stake()
        return max(seen, self._chain.height) if self._is_quorum(others) else seen

    def _own_stake(self) -> int:
        return 0 if self._validator is None else self._chain.validators.stake_of(self._validator)

    def _is_quorum(self, stake: int) -> bool:
        return self._chain.validators.is_quorum(stake)

    # ------------------------------------------------------------------------------------------------ hearing

    def wants(self, said: Announcement) -> bool:
        """Whether it would be a reason to stop, if it is signed. Asked by verification too, in its own thread."""
        is_own = said.validator == self._validator and bool(self._keys)
        return is_own and said.instance != self._instance and said.time_ms >= self._since_ms and not self.is_stopped

    def on_announced(self, said: Announcement, sender: PeerId | None, now: int) -> None:
        if sender is None:
            self._announced_ms = said.time_ms
        elif (
            self.wants(said)
            and said.time_ms <= now + AHEAD_MAX_MS
            and self._key is not None
            and self._signed_by(said, self._key)
        ):
            self._stop(
                self._key,
                f"another process has its key: instance {said.instance} announced itself, by way of {_peer(sender)}, "
                f"{(said.time_ms - self._since_ms) / 1000:.1f} s after this one, instance {self._instance}, had begun: "
                "end one of the two for good, then start the other again",
            )
            wait_ms = min(max(self._announced_ms + NEWS_MS - now, 0), NEWS_MS)
            self._out.append(SetTimer(TimerKey(TimerKind.ANNOUNCE), wait_ms))  # the other one has to hear it as well

    def on_heard(self, message: Vote | Proposal, sender: PeerId | None) -> None:
        """A message of a peer, verified: of the height in progress, or the one before."""
        if self._keys:
            self._see_message(message, "heard" if sender is None else f"heard of {_peer(sender)}")

    def on_evidence(self, evidence: Evidence) -> None:
        """Two messages that no correct validator signs: whoever did, this key is used elsewhere, or was."""
        height, validator = accused(evidence)
        if self._key is None or validator != self._validator or self._is_past(self._key, height):
            return
        if not self._note_past(self._key, height):
            why = f"there is evidence against it of height {height}, {type(evidence).__name__}"
            self._stop(self._key, f"{why}: its key signs elsewhere, or has; see docs/operating.md")

    def on_signed(self, message: Vote | Proposal) -> None:
        """The signer's answer: from now on its record holds this."""
        key = next((key for key in self._records if len(self._records) == 1 or self._signed_by(message, key)), None)
        if key is not None and position_of(message) > last_position(self._records[key]):
            height, round, step = message.height, message.round, step_of(message)
            self._records[key] = replace(self._records[key], height=height, round=round, step=step, message=message)

    def _on_final(
        self, block: VerifiedBlock, certificate: Certificate, members: ValidatorSet, before: ValidatorSet
    ) -> None:
        """A block became final. `members` is its set, `before` its parent's."""
        height = block.header.height
        inside = block.block.parent_certificate
        parents = f"in block {height}, in the certificate of the block before"
        own = f"in the certificate of block {height}"
        for seen in (
            *seen_in_block(block.block, block.id, members, self._keys),
            *(seen_in_certificate(inside, before, self._keys, parents) if inside.height > 0 else ()),
            *seen_in_certificate(certificate, members, self._keys, own),
        ):
            self._see(seen)

    def _see_message(self, message: Vote | Proposal, where: str) -> None:
        height = self._chain.height
        if not height - 1 <= message.height <= height:
            return
        members = self._chain.validators if message.height == height else self._chain.parent_validators
        author = members.get(author_of(message))
        if author is not None and author.key in self._keys:
            self._see(Sighting(author.key, message, where))

    def _see(self, seen: Sighting) -> None:
        """Whatever its record does not hold, somebody else has signed, or this key in a past that is forgotten."""
        key, message = seen.key, seen.message
        record = self._records[key]
        if self._is_past(key, message.height) or _is_held(record, message) or self._note_past(key, message.height):
            return
        last = f"height {record.height}, round {record.round}, {Step(record.step).name.lower()}"
        holds = f"ends at {last}" if record.height else "is empty"
        self._stop(
            key,
            f"its key has signed what its signing record does not hold: {seen}; the record {holds}. Another process "
            "signs with this key, or the record is lost or an old copy: end the other one, or restore the newest "
            "record; where there is neither, start once with --sign_anew",
        )

    # ------------------------------------------------------------------------------------------------ what follows

    def _is_past(self, key: PublicKey, height: int) -> bool:
        """Whether this key signs anew, above this height."""
        return not self._is_looking and height <= self._floors.get(key, 0)

    def _note_past(self, key: PublicKey, height: int) -> bool:
        """True: it was said that nobody else signs, and nothing was signed yet, so that this is of the past."""
        if not self._caution.sign_anew or (self._key is not None and not self._is_looking):
            return False
        self._floors[key] = max(self._floors.get(key, 0), height)
        return True

    def _stop(self, key: PublicKey, why: str) -> None:
        """Use a key no more, from this moment on."""
        if key in self._found:
            return
        self._found[key] = why
        if key == self._engine.key:
            self._engine.voice.mute()
        self._out.append(Emit(SigningStopped(why)))

    def _signed_by(self, message: Vote | Proposal | Announcement, key: PublicKey) -> bool:
        return verify_message(message, key, self._chain.genesis_hash)


def _is_held(record: SigningRecord, message: Vote | Proposal) -> bool:
    """Whether a record shows that it was written for this message, or for a later one."""
    here, last = position_of(message), last_position(record)
    if here != last:
        return here < last
    return record.message is None or unsigned(message) == unsigned(record.message)


def _peer(peer: PeerId) -> str:
    return f"peer {peer.hex()[:_PEER_SHOWN]}"
