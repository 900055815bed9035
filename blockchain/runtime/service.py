"""A running node: one inbox, the core that handles what comes out of it, and its effects, performed in order.

All of one input's effects are performed before the next input (`steps.py`), and a `Write` is durable before the next
effect runs: so a vote is on disk before it leaves the process. Durable writes and large verifications run in threads of
their own; the event loop goes on serving peers and clients. A signature is made in a thread too, and comes back as an
input; nothing waits for it, but where it comes right behind its record the two take one turn of the thread.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from itertools import chain
from typing import Final, assert_never

from msgspec.structs import replace

from blockchain.node import proofs, reader
from blockchain.node.ahead import StoreAhead
from blockchain.node.checkpoint import UNVOUCHED, Vouched
from blockchain.node.core import Core
from blockchain.node.dry_run import dry_run_of
from blockchain.node.inputs import Input
from blockchain.node.lookout import CAREFUL, Caution
from blockchain.node.ranges import SOURCES_MAX
from blockchain.node.reach import source_of
from blockchain.node.record import Missed, RecordFacts, reasons_of
from blockchain.node.seen import WhyFacts
from blockchain.node.views import (
    AccountProofView,
    AccountView,
    BanView,
    DialView,
    DryRunView,
    LotteryReceipt,
    OutcomeView,
    PeerView,
    StatusView,
    TransactionView,
)
from blockchain.node.why import why_of
from blockchain.primitives import codec
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.transaction import Transaction, VerifiedTransaction
from blockchain.primitives.validators import ValidatorSet
from blockchain.runtime.intake import Call, Intake
from blockchain.runtime.logs import log_event
from blockchain.runtime.p2p import P2P
from blockchain.runtime.peer_events import DialAnswered, DialFailed, PeerEvents
from blockchain.runtime.remote_signer import RemoteSigner
from blockchain.runtime.seldom import Seldom
from blockchain.runtime.signing import Answer, SignedWrite, Signing, answer_of, joined
from blockchain.runtime.sqlite import SqliteStore
from blockchain.runtime.steps import Steps
from blockchain.runtime.submissions import Submissions
from blockchain.runtime.told_addresses import ToldAddresses
from blockchain.runtime.verified_lately import VerifiedLately
from blockchain.runtime.verifiers import Verifiers
from blockchain.runtime.waiters import Waiters
from blockchain.runtime.worker_thread import WorkerThread
from blockchain.seams import (
    Broadcast,
    Dial,
    DialBack,
    Effect,
    Emit,
    FinalBlock,
    Halt,
    OffenceSeen,
    PeerId,
    PeerPenalized,
    Penalize,
    ProveVrf,
    Reply,
    Send,
    SetTimer,
    Sign,
    Started,
    SubmissionResult,
    TimerFired,
    TimerKey,
    TimerKind,
    Write,
)

FRAMES_AT_ONCE: Final = SOURCES_MAX + 2  # large ones that workers verify; while all sources send blocks, others' go on

_LOG: Final = logging.getLogger("blockchain.node")


class NodeService:
    """One node while it runs. Implements `views.NodeReader`; made and used inside one event loop."""

    def __init__(
        self,
        spec: ChainSpec,
        store: SqliteStore,
        signers: Sequence[Signing | RemoteSigner],
        make_p2p: Callable[[PeerEvents], P2P],
        node_id: PeerId,
        vouched: Vouched = UNVOUCHED,
        caution: Caution = CAREFUL,
        verify_workers: int = 0,
    ) -> None:
        codec.prepare()  # the first thread begins below
        self._node_id = node_id
        self._store = store
        self._final = StoreAhead(store)  # what readers see of it
        self._signers = {signer.public_key: signer for signer in signers}
        self._signs_here = {
            key: signer for key, signer in self._signers.items() if not isinstance(signer, RemoteSigner)
        }
        self._verifiers = Verifiers(verify_workers)
        with ExitStack() as undone:
            undone.callback(self._verifiers.stop)
            builders = self._verifiers.builders
            self._core = Core(spec, store, frozenset(self._signers), vouched, caution, builders)
            undone.pop_all()
        self._steps = Steps(self._handle, self._perform, self._final.settle)
        self._inbox = self._steps.inbox
        self._timers: dict[TimerKind, asyncio.TimerHandle] = {}
        self._submissions = Submissions(spec.hash, self._core.chain.pool.get, self._deliver, self._verifiers)
        self._waiters = Waiters()
        self._disk = WorkerThread("disk")
        self._keys = WorkerThread("keys")
        self._frames = ThreadPoolExecutor(FRAMES_AT_ONCE if verify_workers else 1, "verify")
        lately = VerifiedLately(self._verifiers.check_all)
        self._intake = Intake(
            self._core.context,
            self._deliver,
            self._deliver_now,
            self._inbox.has_room,
            self._frames,
            self._on_dial,
            lately.check_all,
        )
        self.p2p = make_p2p(self._intake)
        self._told = ToldAddresses(self.p2p)
        self._seldom = Seldom()
        self._tasks: list[asyncio.Task[None]] = []

    # ------------------------------------------------------------------------------------------------ life

    async def start(self) -> None:
        """Begin: the core takes up what the store and the signers' records hold. Raises SigningRefused.

        The records are written here, where all else that could be refused has passed.
        """
        records = tuple(signer.load() for signer in self._signers.values())
        for signer in self._signers.values():
            if isinstance(signer, RemoteSigner):
                signer.begin(self._steps.give)  # before anything is asked of it: no answer is lost
        await self._steps.begin(Started(records, secrets.randbits(63), secrets.randbits(64)))
        self._tasks = [
            asyncio.create_task(self._steps.run(), name="core"),
            asyncio.create_task(self._intake.run(), name="peers"),
        ]

    async def wait(self) -> None:
        """Return only when a task of the node has failed; raises what it failed of."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def stop(self) -> None:
        """End between two inputs; what was acknowledged is on disk already."""
        for handle in self._timers.values():
            handle.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._verifiers.stop()  # first: what follows waits for threads, which may wait for a worker that stands still
        self._submissions.stop()
        self._disk.stop()
        self._keys.stop()
        self._frames.shutdown(cancel_futures=True)

    # ------------------------------------------------------------------------------------------------ the one writer

    def _handle(self, given: Input) -> list[Effect | SignedWrite]:
        effects = self._core.handle(given, _wall_ms())
        self._final.expect(effects)
        return joined(effects, self._signs_here)

    def _perform(self, effect: Effect | SignedWrite) -> bool:
        """Whether it is done; a write is not, until it is on the disk."""
        match effect:
            case SignedWrite():
                self._keys.ask(partial(effect.perform, self._store.write), self._on_signed, self._steps.fail)
                return False
            case Write(batch=batch):
                left = chain(batch.pending_removed, batch.left_unwritten)
                write, written = partial(self._store.write, batch), partial(self._on_written, left)
                self._disk.ask(write, written, self._steps.fail)
                return False
            case Send(peers=peers, frame=frame):
                for peer in peers:
                    self._send(peer, frame)
            case SetTimer(key=key, delay_ms=delay):
                self._set_timer(key, delay)
            case Sign() | ProveVrf():
                self._ask(effect)
            case Emit(event=event):
                log_event(_LOG, event)
            case Reply(token=token, results=results):
                self._submissions.on_reply(token, results)
            case Penalize(peer=peer, reason=reason, why=why):
                self._penalize(peer, reason, why)
            case Dial(addresses=addresses, teller=teller):
                up = self._intake.connected.get(teller)
                for address in addresses:
                    self._told.dial(address, teller, "" if up is None else up.remote)
            case DialBack(peer=peer, address=address, remote=remote):
                self.p2p.dial_back(peer, address, remote)
            case Halt(why=why):
                _LOG.critical("this node stopped voting: %s", why, extra={"evt.name": "halted"})
            case Broadcast() | OffenceSeen():
                raise AssertionError("the engine's word is the core's to translate")
            case _:
                assert_never(effect)
        return True

    def _on_signed(self, answer: Answer) -> None:
        self._steps.go_on(partial(self._steps.give, answer))

    def _on_written(self, left_pool: Iterable[Hash32], _: None) -> None:
        self._steps.go_on(partial(self._waiters.on_left, left_pool))

    def _set_timer(self, key: TimerKey, delay_ms: int) -> None:
        before = self._timers.get(key.kind)
        if before is not None:
            before.cancel()
        self._timers[key.kind] = asyncio.get_running_loop().call_later(delay_ms / 1000, self._fire, key)

    def _fire(self, key: TimerKey) -> None:
        del self._timers[key.kind]
        self._steps.give(TimerFired(key))

    # ------------------------------------------------------------------------------------------------ signing

    def _ask(self, asked: Sign | ProveVrf) -> None:
        """Its answer is an input of its own: a disk takes its time, and a signer elsewhere may be gone.

        In the order in which they are asked for: a key signs upwards only.
        """
        signer = self._signers[asked.key]
        if isinstance(signer, RemoteSigner):
            signer.ask(asked)
        else:
            self._keys.ask(partial(answer_of, signer, asked), self._steps.give, self._steps.fail)

    # ------------------------------------------------------------------------------------------------ peers

    async def _deliver(self, given: Input, before: Call, after: Call) -> None:
        await self._inbox.put((given, before, after), given)

    def _deliver_now(self, given: Input, before: Call, after: Call) -> None:
        self._inbox.put_now((given, before, after), given)

    def _send(self, peer: PeerId, frame: bytes) -> None:
        """On the connection that the core knows of: what was meant for the one before it nobody on a new one asked for.

        A node that stood still works through what came on connections that its peers have replaced by now.
        """
        up = self._intake.connected.get(peer)
        if up is not None:
            self.p2p.send_over(up, frame)

    def _on_dial(self, event: DialAnswered | DialFailed) -> None:
        match event:
            case DialAnswered(address=address, remote=remote):
                if not self._told.is_told(address):
                    self.p2p.bans.spare(source_of(remote))
                self._told.on_met(address)
            case DialFailed(address=address, why=why):
                self._told.on_failed(address)
                if self._seldom.is_due((address, why)):
                    facts = {"evt.name": "dial_failed", "peer_address": address, "why": why}
                    _LOG.info("cannot reach %s: %s", address, why, extra=facts)
            case _:
                assert_never(event)

    def _penalize(self, peer: PeerId, reason: str, why: str) -> None:
        log_event(_LOG, PeerPenalized(peer, reason, why))
        up = self._intake.connected.get(peer)
        if self.p2p.bans.blame(peer, "" if up is None else source_of(up.remote), reason, why):
            self.p2p.close_peer(peer, reason)

    # ------------------------------------------------------------------------------------------------ NodeReader

    @property
    def spec(self) -> ChainSpec:
        return self._core.chain.spec

    @property
    def genesis_hash(self) -> Hash32:
        return self._core.chain.genesis_hash

    @property
    def node_id(self) -> PeerId:
        return self._node_id

    async def submit(self, raws: list[bytes]) -> list[SubmissionResult]:
        return await self._submissions.submit(raws)

    def status(self) -> StatusView:
        return reader.status_of(self._core)

    def peers(self) -> list[PeerView]:
        score = self.p2p.bans.score
        return [replace(view, score=score(view.id)) for view in reader.peers_of(self._core)]

    def dials(self) -> list[DialView]:
        return [
            DialView(
                state.address,
                state.failures,
                state.why,
                state.phase == "connected",
                _wall_ms_of(state.tried_at),
                _wall_ms_of(state.next_at),
            )
            for state in self.p2p.dials()
        ]

    def bans(self) -> list[BanView]:
        return self.p2p.bans.views()

    def pending(self) -> list[VerifiedTransaction]:
        return list(self._core.chain.pool)

    def account(self, address: Address) -> AccountView:
        return reader.account_view(self._core, address)

    def validators(self, height: int | None = None) -> ValidatorSet:
        return reader.validators_at(self._core, self._final, height)

    def records(self) -> RecordFacts:
        return reader.records_of(self._core)

    def missed(self, address: Address) -> dict[int, Missed]:
        return reasons_of(self._core.timeline.heights.values(), address)

    def transaction(self, transaction_id: Hash32) -> TransactionView | None:
        return reader.transaction_of(self._core, self._final, transaction_id)

    def history(self, address: Address, before: tuple[int, int] | None, count: int) -> list[tuple[int, int]]:
        return self._final.history(address, before, count)

    def outcome(self, transaction_id: Hash32) -> OutcomeView:
        return reader.outcome_of(self._core, self._final, transaction_id)

    def dry_run(self, transaction: Transaction, transaction_id: Hash32) -> DryRunView:
        return dry_run_of(self._core, self._final, transaction, transaction_id)

    async def wait_ended(self, transaction_ids: Sequence[Hash32], seconds: float) -> None:
        pool = self._core.chain.pool
        await self._waiters.wait([one for one in transaction_ids if pool.get(one) is not None], seconds)

    def end_waits(self) -> None:
        """Nobody waits any more: what has not ended is pending."""
        self._waiters.end()

    def one_moment(self) -> AbstractContextManager[None]:
        return self._store.one_moment()

    def account_proof(self, address: Address) -> AccountProofView | None:
        return proofs.account_proof_of(self._core, self._final, address)

    def block(self, height: int) -> FinalBlock | None:
        return self._final.block(height)

    def height_of(self, block_id: Hash32) -> int | None:
        return self._final.height_of(block_id)

    def lottery(self, height: int, round: int) -> LotteryReceipt | None:
        return reader.lottery_of(self._core, self._final, height, round)

    def why(self, height: int) -> WhyFacts | None:
        return why_of(self._core, self._final, height)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _wall_ms_of(loop_s: float | None) -> int | None:
    """The wall time of a moment of the event loop's clock."""
    if loop_s is None:
        return None
    return _wall_ms() + round((loop_s - asyncio.get_running_loop().time()) * 1000)
