"""Block sync: how a node that is behind catches up (docs/protocol.md §8.7).

Theory of operation. The missing heights are cut into ranges, each asked of one peer, several at once (`ranges.py`).
Bodies are verified by the driver as they arrive, while earlier ranges are applied; an answer that comes early is kept.
When its turn has come, each block is proved by the certificate in the body after it, the last by the one sent with the
range, with the set that the blocks before it lead to, and then applied in full. So whatever is wrong was in the bytes
of the one peer that served them: it is banned and the range asked elsewhere. A block that more than two thirds signed
and that is wrong all the same stops the node, for good: then the rules differ, or the validators have gone bad.
"""

from __future__ import annotations

from typing import Final

from blockchain.consensus.bft import BftEngine
from blockchain.errors import ForkFound, InvalidBlock, InvalidCertificate, StoreError
from blockchain.node.chain import Chain
from blockchain.node.connected import Connected
from blockchain.node.messages import Blocks, GetBlocks, VerifiedBlocks
from blockchain.node.peers import Peer
from blockchain.node.progress import Progress
from blockchain.node.ranges import REPLY_BYTES_MAX, SOURCES_MAX, Kept, Ranges, Request, link
from blockchain.node.sources import Sources
from blockchain.node.views import SyncView
from blockchain.primitives import codec
from blockchain.primitives.block import BLOCK_BYTES_MAX
from blockchain.primitives.vote import Certificate
from blockchain.seams import (
    Batch,
    Effect,
    Emit,
    Halt,
    Halted,
    PeerId,
    Penalize,
    SetTimer,
    Store,
    StoreDamaged,
    SyncProgressed,
    TimerKey,
    TimerKind,
    Write,
)
from blockchain.seams.faults import BAN_POINTS, points_of

ANSWER_TICKS: Final = 5  # status ticks that a peer has to answer
APPLIED_AT_ONCE: Final = 16  # blocks; then other inputs have their turn
APPLIED_TRANSACTIONS: Final = 500  # the same, for blocks that are full: some 20 ms of work, and a write


class Sync:
    """Ticks are those of the status timer, about a second each."""

    def __init__(self, chain: Chain, engine: BftEngine, peers: Connected, store: Store) -> None:
        self._chain = chain
        self._engine = engine
        self._peers = peers
        self._store = store
        self._tick = 0
        self._ranges = Ranges()
        self._sources = Sources()
        self._progress = Progress()
        self._untold = 0  # blocks taken over since the last word of progress
        self._off_checkpoint = 0  # answers with another block than the checkpoint's
        self._is_stopped = False  # more than two thirds signed what is wrong: others would only tell the same

    @property
    def best_height(self) -> int:
        """The height in progress of the furthest peer, of those that can show it where there are any; 0 without peers.

        A peer may say what it likes. One that did not answer as it promised is not believed until it does.
        """
        return max((peer.height for peer in self._believed()), default=0)

    @property
    def ahead(self) -> frozenset[PeerId]:
        """The peers that say they are further than this node, of those that `best_height` goes by."""
        return frozenset(peer.id for peer in self._believed() if peer.height > self._chain.height)

    @property
    def is_level_with_some(self) -> bool:
        """Whether one of those peers says that it is where this node is."""
        return any(peer.height == self._chain.height for peer in self._believed())

    def has_served(self, peer: PeerId) -> bool:
        """Whether a connected peer has served blocks, in time, when it was asked last."""
        return self._sources.of(peer).has_served

    def _believed(self) -> list[Peer]:
        peers = list(self._peers.values())
        return [peer for peer in peers if self._sources.is_believed(peer)] or peers

    @property
    def is_syncing(self) -> bool:
        """More than one block behind the furthest peer."""
        return self.best_height > self._chain.height + 1

    def stop(self) -> None:
        """Ask and take over nothing any more."""
        self._is_stopped = True

    def awaited_from(self, peer: PeerId | None) -> int:
        """The first height of the range that this peer was asked for and has not answered; 0: none."""
        return self._ranges.awaited_from(peer)

    # ------------------------------------------------------------------------------------------------ inputs

    def on_tick(self, now: int) -> list[Effect]:
        """Give up on peers that do not answer, ask when behind at all, and say how far this node has come."""
        self._tick += 1
        effects: list[Effect] = []
        for request in self._ranges.overdue(self._tick - ANSWER_TICKS):
            self._ranges.give_up(request.peer)
            effects.extend(self._fail(request.peer, f"no answer to a request from height {request.first} on"))
        if self.is_syncing:
            self._progress.note(now, self._chain.head.height)
        else:
            self._progress.begin(now, self._chain.head.height)
        effects.extend(self._tell_progress())
        return [*effects, *self._ask(behind_min=1)]

    def on_status(self, peer: PeerId) -> list[Effect]:
        """A peer told its height, which has lasted there for a moment: ask at once for the block before it too."""
        return self._on_told(peer, behind_min=1)

    def on_spoke(self, peer: PeerId) -> list[Effect]:
        """A peer spoke of a height: ask at once when that is more than the block that is just being decided."""
        return self._on_told(peer, behind_min=2)

    def _on_told(self, peer: PeerId, behind_min: int) -> list[Effect]:
        """Where it is not ahead, nobody is looked at: each of many peers says so several times a second."""
        self._sources.on_told(peer)
        return self._ask(behind_min) if self._is_ahead(self._peers[peer], behind_min) else []

    def on_arrived(self, peer: PeerId) -> None:
        """Blocks of this peer are here: its answer, it seems, which has to be verified yet."""
        self._ranges.note_arrival(peer, self._tick)

    def on_disconnected(self, peer: PeerId) -> None:
        self._ranges.forget(peer)
        self._sources.on_left(peer)

    def on_fault(self, peer: PeerId, reason: str) -> list[Effect]:
        """A message of this peer did not verify; if that bans it, nothing more is expected of it."""
        if points_of(reason) < BAN_POINTS:
            return []
        self._distrust(peer, reason)
        return self._ask(behind_min=1)

    def on_blocks(self, peer: PeerId, message: VerifiedBlocks, now: int) -> list[Effect]:
        """Keep an answer until its turn, and take over what has its turn now."""
        request, is_late = self._ranges.answered(peer, message.first)
        if request is None:
            return []  # an answer to another question
        if not message.blocks:
            failed = [] if is_late else self._fail(peer, f"it has no block {message.first}, though it said so")
            return [*failed, *self._ask(behind_min=1)]
        try:
            kept = link(peer, message)
            if self._misses_checkpoint(kept):
                return [*self._blame(self._wrong_checkpoint(peer)), *self._ask(behind_min=1)]
            self._check_head(kept)
        except InvalidCertificate as error:
            return [*self._blame(Penalize(peer, "bad_certificate", str(error))), *self._ask(behind_min=1)]
        except ForkFound as fork:
            self.stop()
            return self._engine.on_fork(fork)
        self._sources.on_served(peer, is_late=is_late, count=request.count)
        self._ranges.keep(kept)
        takes_long = sum(len(block.transactions) for block in kept.blocks) > APPLIED_TRANSACTIONS
        asked = self._ask(behind_min=1) if takes_long else []  # what comes next is verified meanwhile
        return [*asked, *self.advance(now)]

    def advance(self, now: int) -> list[Effect]:
        """Take over blocks that are kept, some at a time; the caller tells the engine when the head has moved."""
        effects: list[Effect] = []
        blocks = transactions = 0
        while (kept := self._next()) is not None:
            if blocks == APPLIED_AT_ONCE or transactions >= APPLIED_TRANSACTIONS:
                effects.append(SetTimer(TimerKey(TimerKind.SYNC), 0))
                break
            blocks += 1
            transactions += len(kept.at(self._chain.height)[0].transactions)
            effects.extend(self._take(kept, now))
        self._progress.measure(now, self._chain.head.height)
        asked = self._ask(behind_min=1)
        if not self.is_syncing and not self._ranges.requests:  # it is there: nothing more is on its way
            effects.extend(self._tell_progress())
        return [*effects, *asked]

    # ------------------------------------------------------------------------------------------------ taking over

    def _next(self) -> Kept | None:
        """A range that holds the next block, where there is one."""
        return None if self._is_stopped else self._ranges.next(self._chain.height)

    def _take(self, kept: Kept, now: int) -> list[Effect]:
        """The next block. If it is not proved the peer that served it is to blame; if it is, nobody but the signers."""
        block, seal = kept.at(self._chain.height)
        try:
            self._chain.check_fork(block.block.parent_certificate)
            self._engine.verify_seal(block, seal, self._chain.validators)
            left = self._engine.keep_prevotes() if self._engine.current.height == self._chain.height else []
            effects = [*left, *self._chain.import_block(block, seal, now)]
        except InvalidCertificate as error:
            return self._blame(Penalize(kept.peer, "bad_certificate", f"block {self._chain.height}: {error}"))
        except ForkFound as fork:
            self.stop()
            return self._engine.on_fork(fork)
        except InvalidBlock as error:
            self.stop()
            why = f"block {block.header.height} is signed by more than two thirds of the stake, and wrong: {error}"
            return [Write(Batch(halted=why)), Emit(Halted(why)), Halt(why)]
        self._untold += 1
        return effects

    def _check_head(self, kept: Kept) -> None:
        """That a range which reaches as low as the head holds it.

        Raises InvalidCertificate for another block there, ForkFound where that one is proved too (protocol §5.9).
        """
        head = self._chain.head
        if not kept.first <= head.height < kept.end:
            return
        block, seal = kept.at(head.height)
        if block.id != head.id:
            self._chain.check_fork(seal)
            raise InvalidCertificate(f"block {head.height} is another than the final one, and not proved")

    def _misses_checkpoint(self, kept: Kept) -> bool:
        checkpoint = self._chain.checkpoint
        if checkpoint is None or not kept.first <= checkpoint.height < kept.end:
            return False
        block, _ = kept.at(checkpoint.height)
        return checkpoint.is_missed(checkpoint.height, block.id)

    def _wrong_checkpoint(self, peer: PeerId) -> Penalize:
        self._off_checkpoint += 1
        return Penalize(peer, "wrong_checkpoint", "its chain holds another block than the checkpoint's")

    def _blame(self, penalty: Penalize) -> list[Effect]:
        self._distrust(penalty.peer, penalty.why)
        return [penalty]

    def _distrust(self, peer: PeerId, why: str) -> None:
        self._ranges.drop_from(peer)
        if peer in self._peers:  # what it served may be found wrong after it has left
            self._sources.on_failed(peer, self._tick, why)

    def _fail(self, peer: PeerId, why: str) -> list[Effect]:
        """A peer did not serve what it said it has; the second time in a row is one too many."""
        if not self._sources.on_failed(peer, self._tick, why):
            return []
        self._ranges.drop_from(peer)
        return [Penalize(peer, "not_served", f"{why}; it was not the first time")]

    # ------------------------------------------------------------------------------------------------ asking

    def _ask(self, behind_min: int) -> list[Effect]:
        """Ask peers that are free for what is missing, the lowest first.

        All sources together are asked for about one full reply: the shorter a range, the sooner its blocks are taken
        over beside the verification of what follows, and the less is left to take over when all is verified.
        """
        effects: list[Effect] = []
        free = self._free(behind_min)
        sources = min(len(free) + len(self._ranges.requests), SOURCES_MAX)
        for peer in free:
            if len(self._ranges.requests) >= SOURCES_MAX:
                break
            request = self._request_of(peer, max(self._ranges.fitting // sources, 1))
            if request is not None:
                self._ranges.ask(request)
                self._sources.on_asked(peer.id, self._tick)
                effects.append(self._peers.send(peer, GetBlocks(request.first, request.count)))
        return effects

    def _free(self, behind_min: int) -> list[Peer]:
        if self._is_stopped:
            return []
        return self._sources.ranked(
            peer
            for peer in self._peers.values()
            if self._is_ahead(peer, behind_min)
            and peer.id not in self._ranges.requests
            and self._sources.may_be_asked(peer, self._tick)
        )

    def _is_ahead(self, peer: Peer, behind_min: int) -> bool:
        """Whether it says that it has blocks that are missing here; or has to show that it has them."""
        return peer.height >= self._chain.height + behind_min or self._must_show(peer)

    def _must_show(self, peer: Peer) -> bool:
        """Whether it has failed, and so has to show that it has what it says, though others have served it since.

        Where it is only taken to be, it has not said.
        """
        is_said = not peer.is_presumed and 0 < self._chain.head.height < peer.height
        return is_said and not self._sources.is_believed(peer)

    def _request_of(self, peer: Peer, count_max: int) -> Request | None:
        """The first gap in what this peer says it has; where there is none, a failed one has to show the head."""
        height = self._chain.height
        first, end = next(self._ranges.gaps(height, self._tick))
        if first >= peer.height or not self._ranges.has_room(first, height):
            return Request(peer.id, height - 1, 1, self._tick) if self._must_show(peer) else None
        count = min(self._sources.of(peer.id).count, count_max, end - first, peer.height - first)
        return Request(peer.id, first, count, self._tick)

    # ------------------------------------------------------------------------------------------------ serving

    def serve(self, peer: Peer, asked: GetBlocks) -> list[Effect]:
        """Consecutive final blocks from the store, with the certificate of the last.

        A block that is damaged there ends the range: no peer's request may end a node whose head is sound. Who asks for
        blocks from the newest one on was at its height, and lacked something of it: nothing is kept from it any more.
        """
        if asked.first == self._chain.head.height:
            peer.apart.forget_all()
        effects: list[Effect] = []
        raws: list[bytes] = []
        last = b""
        size = 0
        for height in range(max(asked.first, 1), min(asked.first + asked.count, self._chain.height)):
            try:
                block = self._store.block(height)
            except StoreError as error:
                effects.append(Emit(StoreDamaged(str(error))))
                break
            if block is None or (raws and size + len(block.raw) > REPLY_BYTES_MAX):
                break
            raws.append(block.raw)
            size += len(block.raw)
            last = block.certificate
        certificate = codec.decode(last, Certificate, bytes_max=BLOCK_BYTES_MAX) if raws else None
        effects.append(self._peers.send(peer, Blocks(asked.first, tuple(raws), certificate)))
        return effects

    # ------------------------------------------------------------------------------------------------ progress

    def view(self) -> SyncView:
        head = self._chain.head.height
        checkpoint = self._chain.checkpoint
        target = max(self.best_height - 1, head, 0 if checkpoint is None else checkpoint.height)
        return SyncView(
            target=target,
            blocks_per_second=self._progress.blocks_per_second if self.is_syncing else None,
            seconds_left=self._progress.seconds_left(target - head) if self.is_syncing else None,
            sources=len(self._holders()),
            waiting_for=self._waiting_for() if target > head else "",
        )

    def _holders(self) -> list[Peer]:
        """The peers that say they have the next block."""
        return [peer for peer in self._peers.values() if peer.height > self._chain.height]

    def _waiting_for(self) -> str:
        """Why no block is being taken over, in words; empty while it goes on."""
        if self._is_stopped:
            return "nothing: this node stopped"
        height = self._chain.height
        oldest = min((request.tick for request in self._ranges.requests.values()), default=None)
        if oldest is not None:
            waited = self._tick - oldest
            asked = _count(len(self._ranges.requests), "peer")
            return f"an answer of {asked}, for {waited} s now" if waited >= 2 else ""
        holders = self._holders()
        if not holders:
            missed = f"; {_count(self._off_checkpoint, 'answer')} held another block than the checkpoint's"
            return f"no peer has height {height}{missed if self._off_checkpoint else ''}"
        failed = [peer for peer in holders if not self._sources.may_be_asked(peer, self._tick)]
        if len(failed) == len(holders):
            verb = "rests" if len(failed) == 1 else "rest"
            return f"{_count(len(failed), 'peer')} {verb} after failing: {self._sources.of(failed[0].id).why}"
        return ""

    def _tell_progress(self) -> list[Effect]:
        if not self._untold:
            return []
        self._untold = 0
        view = self.view()
        head = self._chain.head.height
        told = SyncProgressed(head, view.target, view.sources, self._progress.blocks_per_second, view.seconds_left)
        return [Emit(told)]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
