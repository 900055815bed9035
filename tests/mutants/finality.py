"""Bugs that make one transaction wait, or a node do for it what it need not (docs/protocol.md §4.4, §8.4)."""

from __future__ import annotations

from typing import Final

from tests.mutants.planted import Change, Mutant

_BFT: Final = "blockchain/consensus/bft.py"
_FRESH: Final = "blockchain/node/fresh.py"
_PEERS: Final = "blockchain/node/peers.py"
_TESTS: Final = "tests/node/test_fresh.py"

MUTANTS: Final = (
    Mutant(
        "own_precommit_dropped_after_the_decision",
        "a validator whose disk is slow counts as absent, and the next forger waits for it in vain",
        "tests/consensus/test_bft.py::test_ones_own_precommit_that_is_signed_after_the_decision_completes_the_certificate",
        (Change(_BFT, "self._late.was_asked_for(message) and", "self.voice.is_mute and"),),
    ),
    Mutant(
        "a_mute_node_publishes_its_late_precommit",
        "a node that must not sign with its key says something all the same",
        "tests/consensus/test_bft.py::test_a_late_answer_that_was_not_asked_for_or_comes_to_a_mute_node_is_dropped",
        (
            Change(
                _BFT,
                "was_asked_for(message) and not self.voice.is_mute:",
                "was_asked_for(message):",
            ),
        ),
    ),
    Mutant(
        "late_precommit_that_was_not_written_down",
        "what another process signed with the key is published as this node's own, without a record of it",
        "tests/consensus/test_bft.py::test_a_late_answer_that_was_not_asked_for_or_comes_to_a_mute_node_is_dropped",
        (Change("blockchain/consensus/late.py", "return unsigned(vote) in self._asked", "return True"),),
    ),
    Mutant(
        "fresh_transactions_told_by_their_ids",
        "a payment alone takes two hops more to be final",
        f"{_TESTS}::test_what_a_client_hands_in_goes_to_all_peers_in_full_before_it_is_written",
        (Change(_FRESH, "if not peer.may_be_sent_fresh(len(new)):", "if new:"),),
    ),
    Mutant(
        "fresh_transactions_without_a_bound",
        "an honest node under load sends more than its peers take, and they drop it and blame it",
        f"{_TESTS}::test_a_node_sends_unasked_what_its_peer_must_take_wherever_their_seconds_begin",
        (Change(_PEERS, "if self._fresh_sent + count > FRESH_SENT_MAX:", "if count > FRESH_SENT_MAX:"),),
    ),
    Mutant(
        "fresh_transactions_after_a_while_no_more",
        "after the first hundred every payment is told by its id",
        f"{_TESTS}::test_a_node_sends_unasked_what_its_peer_must_take_wherever_their_seconds_begin",
        (
            Change(
                _PEERS,
                "        self._fresh_sent = 0\n        self._useless = 0\n        return",
                "        self._useless = 0\n        return",
            ),
        ),
    ),
)
