"""Bugs in blocks that are told of by the ids of their transactions (docs/protocol.md §8.4)."""

from __future__ import annotations

from typing import Final

from tests.mutants.planted import Change, Mutant

_OUTLINES: Final = "blockchain/node/outlines.py"
_GOSSIP: Final = "blockchain/node/gossip.py"
_BODIES: Final = "blockchain/node/bodies.py"

MUTANTS: Final = (
    Mutant(
        "outline_taken_for_a_whole_block",
        "a node votes for, and stores, a block with ids in the place of transactions",
        "tests/node/test_outlines.py::test_what_comes_along_is_not_asked_for",
        (Change("blockchain/node/verify.py", "if len(bodies) < len(ids):", "if ids and not bodies:"),),
    ),
    Mutant(
        "first_outline_of_a_round_kept",
        "a lure with ids that nobody has keeps out the block that all others vote for",
        "tests/node/test_outlines.py::test_another_outline_of_a_round_takes_the_place_of_the_first",
        (Change(_OUTLINES, "if half is None or half.told.proposal != told.proposal:", "if half is None:"),),
    ),
    Mutant(
        "whole_block_refused_where_an_outline_waits",
        "what is sent to help a node that was given no transactions is thrown away",
        "tests/node/test_outlines.py::test_the_whole_block_is_taken_where_an_outline_waits",
        (
            Change(
                "blockchain/node/verify.py",
                "held.proposal == proposal and len(message.block) <= len(held.raw):",
                "held.proposal == proposal:",
            ),
        ),
    ),
    Mutant(
        "block_never_sent_whole",
        "where transactions were withheld, or lost, the round is lost for good",
        "tests/node/test_outlines.py::test_a_block_goes_by_its_ids_at_first_and_whole_to_who_still_lacks_it",
        (Change(_GOSSIP, "is_again = peer.was_sent_proposal(proposal.round)", "is_again = False"),),
    ),
    Mutant(
        "news_named_only",
        "a chain under load, whose validators are far away, is a round trip slower at each height",
        "tests/node/test_outlines.py::test_what_came_a_moment_ago_goes_along_to_who_is_far_away",
        (Change(_BODIES, "received_ms is not None and received_ms <= at_ms", "received_ms is not None"),),
    ),
    Mutant(
        "small_blocks_told_of_by_ids",
        "a payment alone takes a round trip more to be final",
        "tests/node/test_outlines.py::test_a_small_block_goes_whole",
        (Change(_BODIES, "if len(block.transactions) < self._outlined_min:", "if not block.transactions:"),),
    ),
    Mutant(
        "second_block_known_by_ids_forgiven",
        "a forger that signs two blocks of a round goes free where one of them is not whole",
        "tests/node/test_outlines.py::test_two_blocks_of_one_round_are_an_offence_though_one_is_known_by_its_ids",
        (Change(_OUTLINES, "return [OffenceSeen(evidence)] if contradicts(evidence) else []", "return []"),),
    ),
)
