"""What clients hand in, from its bytes to the core's word on it.

Signatures are verified in threads of their own: no flood of clients delays the peers' votes. What is verified goes
into the inbox as everybody's inputs do, with a token, under which the core answers once it is durable. Both steps are
made for all clients that wait for them at once: a hundred who hand in one transaction each share one write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from blockchain.node.stateless import TRANSACTIONS_AT_ONCE, Flaw, transaction_checks
from blockchain.primitives import codec
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.transaction import Transaction, VerifiedTransaction, transaction_ids
from blockchain.runtime.grouping import Grouping
from blockchain.runtime.intake import Deliver, nothing
from blockchain.runtime.verifiers import Verifiers
from blockchain.seams import SubmissionResult, Token, TransactionsSubmitted

GROUP_MAX: Final = 500  # transactions of clients that share a turn of the core, some 10 ms: votes wait for it
PART_MAX: Final = 250  # transactions of one client that are verified and entered together: two workers take 10 ms
BATCHES_AT_ONCE: Final = 4  # that workers verify: enough for two of them, and no queue in which peers' blocks wait

Outcome = VerifiedTransaction | SubmissionResult  # verified, or why not


class Submissions:
    """Those without an answer yet. `pending` gives the verified transaction of an id that is in the pool already.

    Made and used inside one event loop. Whoever lets clients in bounds how many wait here.
    """

    def __init__(
        self,
        genesis_hash: Hash32,
        pending: Callable[[Hash32], VerifiedTransaction | None],
        deliver: Deliver,
        verifiers: Verifiers,
    ) -> None:
        self._genesis_hash = genesis_hash
        self._pending = pending
        self._deliver = deliver
        self._replies: dict[Token, asyncio.Future[tuple[SubmissionResult, ...]]] = {}
        self._tokens = 0
        self._verifiers = verifiers
        threads = BATCHES_AT_ONCE if verifiers.workers else 1
        self._batches = ThreadPoolExecutor(threads, "clients")
        self._verifying = Grouping(self._verify_group, GROUP_MAX, threads)
        self._entering = Grouping(self._enter_group, GROUP_MAX)

    async def submit(self, raws: list[bytes]) -> list[SubmissionResult]:
        """Verify and hand in; returns once those that were accepted are durable. Cancelled when the node ends.

        Part by part, in their order: the core enters the first while workers verify the next.
        """
        verifying = [self._verifying.ask(raws[at : at + PART_MAX]) for at in range(0, len(raws), PART_MAX)]
        parts = []
        for verified in verifying:
            outcomes = await verified
            good = [outcome for outcome in outcomes if isinstance(outcome, VerifiedTransaction)]
            parts.append((outcomes, self._entering.ask(good) if good else None))
        results: list[SubmissionResult] = []
        for outcomes, entering in parts:
            entered = iter(await entering if entering is not None else ())
            results += [next(entered) if isinstance(one, VerifiedTransaction) else one for one in outcomes]
        return results

    def on_reply(self, token: Token, results: tuple[SubmissionResult, ...]) -> None:
        future = self._replies.pop(token, None)
        if future is not None and not future.done():
            future.set_result(results)

    def stop(self) -> None:
        self._verifying.stop()
        self._entering.stop()
        self._batches.shutdown(cancel_futures=True)

    async def _verify_group(self, raws: list[bytes]) -> list[Outcome]:
        return await asyncio.get_running_loop().run_in_executor(self._batches, lambda: self._verify(raws))

    async def _enter_group(self, verified: list[VerifiedTransaction]) -> list[SubmissionResult]:
        self._tokens += 1
        token = Token(self._tokens)
        future: asyncio.Future[tuple[SubmissionResult, ...]] = asyncio.get_running_loop().create_future()
        self._replies[token] = future
        try:
            await self._deliver(TransactionsSubmitted(token, tuple(verified)), nothing, nothing)
            return list(await future)
        finally:
            self._replies.pop(token, None)

    def _verify(self, raws: list[bytes]) -> list[Outcome]:
        """In the thread: nothing here but the bytes, the pool's verified copies and the genesis hash."""
        ids = transaction_ids(self._genesis_hash, raws)
        outcomes: list[Outcome | None] = [self._pending(each) for each in ids]
        unknown = [at for at, known in enumerate(outcomes) if known is None]
        flaws = self._flaws([raws[at] for at in unknown])
        for number, at in enumerate(unknown):
            flaw = flaws.get(number)
            if flaw is None:
                transaction = codec.decode_again(raws[at], Transaction)
                outcomes[at] = VerifiedTransaction(ids[at], raws[at], transaction)
            else:
                outcomes[at] = SubmissionResult(ids[at], flaw.code, flaw.why)
        return [outcome for outcome in outcomes if outcome is not None]

    def _flaws(self, raws: list[bytes]) -> dict[int, Flaw]:
        """What is wrong, by position."""
        checks = transaction_checks(self._genesis_hash, raws, each=True)
        return {
            number * TRANSACTIONS_AT_ONCE + flaw.at: flaw
            for number, found in enumerate(self._verifiers.check_all(checks))
            for flaw in found.flaws
        }
