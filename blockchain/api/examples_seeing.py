"""What the OpenAPI document shows of what a node saw; see `examples`."""

from __future__ import annotations

from typing import Final

from blockchain.api.examples import ADDRESS_A, ADDRESS_B, BLOCK_ID, HASH, TIME_MS, VALIDATOR_A, Example

_NONE: Final[Example] = {
    "stake": 0,
    "vote_count": 0,
    "missing_count": 2,
    "votes": [],
    "missing": [ADDRESS_A, ADDRESS_B],
}
_NIL: Final[Example] = {
    "stake": 4,
    "vote_count": 2,
    "missing_count": 0,
    "votes": [
        {"validator": ADDRESS_A, "at_ms": 3_001, "is_nil": True},
        {"validator": ADDRESS_B, "at_ms": 3_004, "is_nil": True},
    ],
    "missing": [],
}
_BOTH: Final[Example] = {
    "stake": 4,
    "vote_count": 2,
    "missing_count": 0,
    "votes": [
        {"validator": ADDRESS_A, "at_ms": 4_080, "is_nil": False},
        {"validator": ADDRESS_B, "at_ms": 4_091, "is_nil": False},
    ],
    "missing": [],
}
WHY: Final[Example] = {
    "height": 3,
    "verdict": f"Round 0's forger {ADDRESS_B} was silent. Round 1's block by {ADDRESS_A} became final after 4.1 s.",
    "seen": {
        "began_ms": TIME_MS,
        "is_whole": True,
        "is_synced": False,
        "triggered_ms": 0,
        "final_ms": 4_091,
        "total_stake": 4,
        "quorum_stake": 3,
        "rounds": [
            {
                "round": 0,
                "forger": ADDRESS_B,
                "began_ms": 0,
                "due_ms": 3_000,
                "proposed_ms": None,
                "late_ms": None,
                "polka_ms": None,
                "locked_ms": None,
                "prevotes": _NIL,
                "precommits": _NONE,
                "timed_out": [{"step": "propose", "at_ms": 3_000}, {"step": "precommit", "at_ms": 4_010}],
                "rejected": "",
            },
            {
                "round": 1,
                "forger": ADDRESS_A,
                "began_ms": 4_010,
                "due_ms": 7_510,
                "proposed_ms": 4_060,
                "late_ms": 0,
                "polka_ms": 4_080,
                "locked_ms": 4_080,
                "prevotes": _BOTH,
                "precommits": _BOTH,
                "timed_out": [],
                "rejected": "",
            },
        ],
        "rounds_dropped": 0,
        "never_voted": [],
        "never_voted_count": 0,
        "refusals": [],
    },
    "final": {
        "id": BLOCK_ID,
        "round": 1,
        "decided_round": 1,
        "time_ms": TIME_MS,
        "forger": ADDRESS_A,
        "passed": [ADDRESS_B],
        "signer_count": 2,
        "unsigned": [],
        "unsigned_count": 0,
    },
}
_WINDOW: Final[Example] = {"first": 1, "last": 3, "blocks": 3}
_RECORD: Final[Example] = {
    "draws": 3,
    "expected_wins": 3.0,
    "wins": 3,
    "p_value": 1.0,
    "forged": 2,
    "let_pass": 1,
    "certificates": 2,
    "missed": 1,
    "earned_forging": 12,
    "earned_signing": 3,
    "lost": 0,
    "uptime": 0.5,
}
VALIDATORS: Final[Example] = {
    "height": 4,
    "hash": HASH,
    "total_stake": 1,
    "count": 1,
    "window": _WINDOW,
    "validators": [{**VALIDATOR_A, "share": 1.0, "is_online": True, "record": _RECORD}],
    "next": None,
}
VALIDATOR: Final[Example] = {
    **VALIDATOR_A,
    "share": 1.0,
    "is_online": True,
    "window": _WINDOW,
    "record": _RECORD,
    "missed_heights": [{"height": 2, "reason": "late", "late_ms": 12}],
}
