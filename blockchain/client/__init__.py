"""HTTP client of a node's API: `Client` for threads, `AsyncClient` for asyncio, with the same methods.

`calls` says what is asked and how an answer is read, once for both; `answers` are the shapes; `http` sends. Nothing
here knows more of a node than its API tells. `proofs` checks what a node proves, offline.
"""

from __future__ import annotations

from blockchain.client.answers import (
    Account,
    AccountProof,
    Ban,
    Block,
    BlockPage,
    BlockRange,
    Consensus,
    Dial,
    DryRun,
    Fees,
    Genesis,
    History,
    HistoryEntry,
    LogLevel,
    Lottery,
    MissingVote,
    Peer,
    Peers,
    Pool,
    Refusal,
    Stage,
    Status,
    Submission,
    TransactionProof,
    TransactionState,
    Unbonding,
    Validator,
)
from blockchain.client.http import AsyncClient, Client
from blockchain.client.seen import ValidatorList, ValidatorRecord, Why
from blockchain.errors import RequestRefused

__all__ = [
    "Account",
    "AccountProof",
    "AsyncClient",
    "Ban",
    "Block",
    "BlockPage",
    "BlockRange",
    "Client",
    "Consensus",
    "Dial",
    "DryRun",
    "Fees",
    "Genesis",
    "History",
    "HistoryEntry",
    "LogLevel",
    "Lottery",
    "MissingVote",
    "Peer",
    "Peers",
    "Pool",
    "Refusal",
    "RequestRefused",
    "Stage",
    "Status",
    "Submission",
    "TransactionProof",
    "TransactionState",
    "Unbonding",
    "Validator",
    "ValidatorList",
    "ValidatorRecord",
    "Why",
]
