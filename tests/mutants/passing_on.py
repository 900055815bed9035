"""Bugs in what is kept from peers that get it elsewhere (docs/protocol.md §8.4 rule 13)."""

from __future__ import annotations

from typing import Final

from tests.mutants.planted import Change, Mutant

_GOSSIP: Final = "blockchain/node/gossip.py"
_PEERS: Final = "blockchain/node/peers.py"
_TESTS: Final = "tests/node/test_apart.py::"

MUTANTS: Final = (
    Mutant(
        "kept_for_good",
        "whoever no longer hears a validator itself waits a second for each of its votes",
        f"{_TESTS}test_votes_that_crossed_are_kept_from_that_peer_a_while_and_then_sent",
        (
            Change(
                _GOSSIP,
                "for effect in self._send_missing(peer, 0, now)]",
                "for effect in self._send_missing(peer, ~0, now)]",
            ),
        ),
    ),
    Mutant(
        "own_votes_kept_back",
        "a validator whose votes its peers once had of each other makes everybody wait for them",
        f"{_TESTS}test_ones_own_votes_are_kept_from_nobody",
        (Change(_GOSSIP, "return near if own is None else near & ~(1 << members.index[own])", "return near"),),
    ),
    Mutant(
        "all_that_was_sent_taken_for_crossed",
        "on a line of nodes nothing is passed on any more before its time is over",
        f"{_TESTS}test_votes_that_only_one_side_sent_did_not_cross",
        (
            Change(
                _PEERS,
                "crossed = voters & (self._sent.voters(place) | self._sent_before.voters(place))",
                "crossed = voters",
            ),
        ),
    ),
    Mutant(
        "need_not_learnt_from",
        "who lost its way to a validator is kept waiting at each height until all is forgotten",
        f"{_TESTS}test_who_lacked_it_after_that_while_is_told_at_once_from_then_on",
        (
            Change(
                _GOSSIP, "                            peer.apart.forget(bit)\n", "                            pass\n"
            ),
        ),
    ),
    Mutant(
        "first_proposal_hides_the_second",
        "a forger proposes one block to some and another to the others, and nobody ever sees both",
        f"{_TESTS}test_a_proposal_is_shown_once_to_all_where_somebody_honest_voted_for_another_of_its_round",
        (
            Change(
                _GOSSIP,
                "return [*self.spread_votes(), *self._show_disputed(now)]",
                "return self.spread_votes()",
            ),
        ),
    ),
    Mutant(
        "certificate_not_held_against_precommits",
        "who precommits nil to some and the block to the others loses nothing by it",
        "tests/consensus/test_late.py::test_the_next_blocks_certificate_is_held_against_the_precommits_that_came_here",
        (
            Change(
                "blockchain/consensus/bft.py",
                "map(OffenceSeen, self._late.contradicted_by(block.block.parent_certificate))",
                "()",
            ),
        ),
    ),
)
