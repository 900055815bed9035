"""What the OpenAPI document shows: one small chain, seen from several paths. Tests check that each fits its schema.

The signed transaction is real: account A's key is the seed 00 01 … 1f, and the genesis hash is the one below.
"""

from __future__ import annotations

from typing import Any, Final

Example = dict[str, Any]

GENESIS_HASH: Final = "50d858e0985ecc7f60418aaf0cc5ab587f42c2570a884095a9e8ccacd0f6545c"
ADDRESS_A: Final = "pos1qwss00lnecgtu8tsm5vwwj7qn9n7f43snwjs6hcamjrxgyj4xxuqjqx76z"
ADDRESS_B: Final = "pos10x64vt50ue20jsrckyfw32vt57gplpf6u62ma4lquwgshtgyjejqs48zrl"
KEY_A: Final = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
TRANSACTION_ID: Final = "071bcd2d5199fe9881dc5754d6a76f2585484312261cad7c2bdb731880d085da"
BLOCK_ID: Final = "8f1f3d0a5d6c6f60a7d2cc55b7a6b4f5a3f0b0f2c3d6e9887766554433221100"
HASH: Final = "c1" * 32
_SIGNATURE: Final = (
    "214edf81f353829f18263b4bef68d3456cf37003e559acb5aee108137e35b989"
    "4ac41b1317ac5fd961c668fc5ee8fcbf68eca86c16034866761e4d66ba185f0e"
)
TIME_MS: Final = 1_767_225_600_000

PING: Final[Example] = {"success": "pong!"}
LIVE: Final[Example] = {"status": "live"}
READY: Final[Example] = {
    "status": "ready",
    "checks": {
        "not_halted": {"ok": True, "why": ""},
        "synced": {"ok": True, "why": ""},
        "not_stalled": {"ok": True, "why": ""},
        "trusted": {"ok": True, "why": ""},
        "signs": {"ok": True, "why": ""},
    },
}
SYNCING: Final[Example] = {
    "status": "syncing",
    "checks": {**READY["checks"], "synced": {"ok": False, "why": "syncing: at height 3, a peer at 8"}},
}
ADMIN: Final[Example] = {
    "actions": [{"method": "GET", "path": "/api/v1/admin/", "what": "List what the token may do"}],
}
LOG_LEVEL: Final[Example] = {"level": "info"}
PROBLEM: Final[Example] = {
    "type": "about:blank",
    "title": "Unprocessable Content",
    "status": 422,
    "detail": "amount is zero, which has no meaning here",
    "code": "amount_zero",
}

SIGNED_TRANSACTION: Final[Example] = {
    "version": 1,
    "kind": "TRANSFER",
    "sender": ADDRESS_A,
    "nonce": 2,
    "fee": 0,
    "expiry": None,
    "payload": {"recipient": ADDRESS_B, "amount": 1},
    "signature": _SIGNATURE,
}
POOLED_TRANSACTION: Final[Example] = {"id": TRANSACTION_ID, **SIGNED_TRANSACTION}
SUBMISSION: Final[Example] = {
    "message": "Received transaction",
    "ids": [TRANSACTION_ID],
    "results": [{"id": TRANSACTION_ID, "is_accepted": True, "code": "", "why": ""}],
}
TRANSACTION: Final[Example] = {
    "id": TRANSACTION_ID,
    "state": "final",
    "height": 3,
    "position": 0,
    "transaction": SIGNED_TRANSACTION,
    "refusal": None,
    "stages": [
        {
            "stage": "received",
            "time_ms": TIME_MS,
            "height": None,
            "round": None,
            "code": None,
            "why": "from a client",
        },
        {"stage": "proposed", "time_ms": TIME_MS + 40, "height": 3, "round": 0, "code": None, "why": None},
        {"stage": "final", "time_ms": TIME_MS + 90, "height": 3, "round": 0, "code": None, "why": None},
    ],
}

BLOCK: Final[Example] = {
    "id": BLOCK_ID,
    "version": 1,
    "height": 3,
    "round": 0,
    "seed": HASH,
    "time_ms": TIME_MS,
    "parent": HASH,
    "forger": ADDRESS_A,
    "vrf_proof": "b2" * 80,
    "transaction_root": HASH,
    "state_root": HASH,
    "validators_hash": HASH,
    "next_validators_hash": HASH,
    "evidence_root": HASH,
    "parent_certificate_hash": HASH,
    "transaction_count": 1,
    "evidence_count": 0,
    "transactions": [POOLED_TRANSACTION],
    "evidence": [],
}
BLOCKS: Final[Example] = {"blocks": [BLOCK], "next": 3}
RANGE: Final[Example] = {"blocks": [BLOCK], "next": 4, "height": 7}
_CERTIFICATE: Final[Example] = {
    "height": 3,
    "round": 0,
    "block_id": BLOCK_ID,
    "precommits": [{"index": 0, "signature": _SIGNATURE}],
}
FULL_BLOCK: Final[Example] = {
    **BLOCK,
    "parent_certificate": {**_CERTIFICATE, "height": 2, "block_id": HASH},
    "certificate": _CERTIFICATE,
}
HISTORY: Final[Example] = {
    "entries": [
        {
            "height": 3,
            "position": 0,
            "block_id": BLOCK_ID,
            "time_ms": TIME_MS,
            "direction": "out",
            "transaction": POOLED_TRANSACTION,
        }
    ],
    "next": "3:0",
}
DRY_RUN: Final[Example] = {
    "outcome": "applies",
    "height": 4,
    "code": "",
    "why": "",
    "signature": "absent",
    "id": None,
    "replaces": None,
    "changes": [
        {
            "address": ADDRESS_A,
            "before": {"balance": 74, "nonce": 2, "stake": 1, "unbonding": 0},
            "after": {"balance": 73, "nonce": 3, "stake": 1, "unbonding": 0},
        },
        {
            "address": ADDRESS_B,
            "before": {"balance": 5, "nonce": 0, "stake": 0, "unbonding": 0},
            "after": {"balance": 6, "nonce": 0, "stake": 0, "unbonding": 0},
        },
    ],
}
FEES: Final[Example] = {
    "minimum": 0,
    "is_pool_full": False,
    "pending": 3,
    "blocks": 20,
    "transactions": 40,
    "included": {"min": 0, "median": 1, "max": 5},
}
_HEADER: Final[Example] = {name: value for name, value in BLOCK.items() if name not in ("transactions", "evidence")}
_HEADER_PROOF: Final[Example] = {"header": "dc0010" + "00" * 8, "block": _HEADER, "certificate": _CERTIFICATE}
TRANSACTION_PROOF: Final[Example] = {
    "id": TRANSACTION_ID,
    "raw": "9701c420" + "00" * 8,
    "transaction": SIGNED_TRANSACTION,
    "position": 0,
    "path": [HASH],
    **_HEADER_PROOF,
}
ACCOUNT_PROOF: Final[Example] = {
    "address": ADDRESS_A,
    "public_key": KEY_A,
    "proof": {
        "sibling_hashes": [HASH],
        "queries": [
            {"key": HASH, "value": "924a02", "bitmap": "01"},
            {"key": HASH, "value": "", "bitmap": "02"},
        ],
    },
    **_HEADER_PROOF,
}
GENESIS: Final[Example] = {
    "hash": GENESIS_HASH,
    "account_count": 1,
    "version": 1,
    "chain_id": "demo",
    "time_ms": TIME_MS,
    "demo": True,
    "engine": "pos",
    "ledger": "accounts",
    "parameters": {"block_threshold": 2, "block_max_transactions": 2, "block_max_wait_ms": None, "stake_delay": 0},
    "issuer": ADDRESS_B,
    "accounts": [{"address": ADDRESS_A, "balance": 100}],
    "validators": [{"address": ADDRESS_A, "stake": 1, "key": None}],
}

STATUS: Final[Example] = {
    "version": "0.1.0",
    "chain_id": "demo",
    "genesis_hash": GENESIS_HASH,
    "node_id": HASH,
    "height": 3,
    "head": BLOCK_ID,
    "head_time_ms": TIME_MS,
    "best_peer_height": 3,
    "is_syncing": False,
    "is_halted": "",
    "validator": ADDRESS_A,
    "is_active": True,
    "keys": [KEY_A],
    "peers": 2,
    "pool": {"pending": 1, "ready": 1, "bytes": 150, "threshold": 2},
    "waiting_for": "pool holds 1 of 2",
    "stalled_ms": 0,
    "sync": {"target": 3, "blocks_per_second": None, "seconds_left": None, "sources": 0, "waiting_for": ""},
    "untrusted": "",
    "silent": "",
    "network": {
        "clock_offset_ms": 12,
        "clock_peers": 3,
        "reachable": "yes",
        "reachable_why": "2 of 2 peers that tried reached this node",
    },
}
CONSENSUS: Final[Example] = {
    "height": 4,
    "round": 0,
    "step": "propose",
    "forger": ADDRESS_A,
    "has_proposal": False,
    "locked_round": -1,
    "locked_block": None,
    "valid_round": -1,
    "valid_block": None,
    "total_stake": 26,
    "quorum_stake": 18,
    "prevote_stake": 0,
    "precommit_stake": 0,
    "missing_prevotes": [{"validator": ADDRESS_A, "stake": 1}, {"validator": ADDRESS_B, "stake": 25}],
    "missing_precommits": [{"validator": ADDRESS_A, "stake": 1}, {"validator": ADDRESS_B, "stake": 25}],
    "online_stake": 1,
    "offline": [{"validator": ADDRESS_B, "stake": 25}],
    "waiting_for": "pool holds 1 of 2",
}
ACCOUNT: Final[Example] = {
    "address": ADDRESS_A,
    "public_key": KEY_A,
    "balance": 74,
    "nonce": 2,
    "next_nonce": 3,
    "stake": 1,
    "staked": 1,
    "waiting": 0,
    "unbonding": [{"amount": 4, "leaves": 40, "release_height": 100_041, "release_ms": None}],
    "validator_key": KEY_A,
    "validator_key_from": 0,
    "is_out": False,
    "suspension": None,
    "pause": None,
}
VALIDATOR_A: Final[Example] = {"address": ADDRESS_A, "key": KEY_A, "stake": 1}
PEERS: Final[Example] = {
    "peers": [
        {
            "id": HASH,
            "address": "localhost:8011",
            "inbound": False,
            "height": 3,
            "round": 0,
            "remote": "127.0.0.1",
            "agent": "blockchain/1.0",
            "score": 0,
            "clock_offset_ms": 12,
            "clock_error_ms": 3,
            "dialled_back": "reached",
        }
    ],
    "dials": [
        {
            "address": "localhost:8011",
            "attempts": 1,
            "last_error": "",
            "is_connected": True,
            "last_attempt_ms": 1_767_225_600_000,
            "next_attempt_ms": None,
        },
        {
            "address": "localhost:8012",
            "attempts": 4,
            "last_error": "connection refused",
            "is_connected": False,
            "last_attempt_ms": 1_767_225_600_000,
            "next_attempt_ms": 1_767_225_604_000,
        },
    ],
    "bans": [
        {
            "peer": "d3" * 32,
            "address": "",
            "reason": "bad_signature",
            "why": "a message of a validator whose signature does not verify",
            "seconds_left": 431,
            "times": 1,
        }
    ],
}
LOTTERY: Final[Example] = {
    "genesis_hash": GENESIS_HASH,
    "height": 3,
    "round": 0,
    "seed": HASH,
    "reference": HASH,
    "point": 0,
    "total_stake": 1,
    "left_out": [],
    "forger": ADDRESS_A,
    "interval": [0, 1],
    "validators": [VALIDATOR_A],
    "vrf_proof": "b2" * 80,
    "header": "c3" * 480,
    "parent_header": "c4" * 480,
    "certificate": _CERTIFICATE,
}
