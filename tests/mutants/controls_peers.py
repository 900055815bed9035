"""Defences against peers and strangers on the port for peers switched off.

The attacks stand in docs/security.md.
"""

from __future__ import annotations

from typing import Final

from tests.mutants.planted import Change, Mutant

CONTROLS: Final = (
    Mutant(
        "eclipse",
        "one range may be all",
        "tests/runtime/test_told_addresses.py::test_one_range_of_addresses_does_not_take_all_the_room",
        (
            Change(
                "blockchain/runtime/told_addresses.py",
                "and (of_range < RANGE_MAX or not new.range)",
                "",
            ),
        ),
    ),
    Mutant(
        "exchange_poisoning",
        "what peers advertise is passed on untried",
        "tests/node/test_exchange.py::test_only_where_this_node_met_somebody_itself_is_told_of",
        (
            Change(
                "blockchain/node/exchange.py",
                "if peer.id != asking.id and (peer.id, peer.address) in self._met)",
                "if peer.id != asking.id)",
            ),
        ),
    ),
    Mutant(
        "knocking_inside",
        "every address is dialled",
        "tests/node/test_exchange.py::test_nobody_outside_makes_a_node_dial_into_its_own_network",
        (
            Change(
                "blockchain/node/exchange.py",
                "new = [a for a in dict.fromkeys(addresses) if a not in known and is_exchanged(a, teller.remote)]",
                "new = [a for a in dict.fromkeys(addresses) if a not in known]",
            ),
        ),
    ),
    Mutant(
        "knocking_elsewhere",
        "one host has no maximum",
        "tests/node/test_dial_back.py::test_of_one_host_and_in_all_only_so_many_are_dialled",
        (
            Change(
                "blockchain/node/dial_back.py",
                "return of_host < HOST_DIALS_MAX or reach_of_host(new.host) is Reach.MACHINE",
                "return True",
            ),
        ),
    ),
    Mutant(
        "inbound_exhaustion",
        "an address has no maximum",
        "tests/runtime/test_p2p_gate.py::test_connections_are_bounded_in_all_and_for_one_address",
        (
            Change(
                "blockchain/runtime/websocket.py",
                "if self._per_source[source] >= self._limits.inbound_per_ip_max:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "handshake_exhaustion",
        "handshakes have no maximum",
        "tests/runtime/test_p2p_gate.py::test_handshakes_in_progress_are_bounded",
        (
            Change(
                "blockchain/runtime/websocket.py",
                "if len(self._in_handshake) >= self._limits.handshakes_max:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "stolen_node_id",
        "the proof is not verified",
        "tests/runtime/test_handshake.py::test_a_stolen_id_is_found_out",
        (
            Change(
                "blockchain/runtime/handshake.py",
                "if not verify(self._peer_id, self._signed_by(self._role.other), proof.signature):",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "reflected_handshake",
        "one's own id passes",
        "tests/runtime/test_handshake.py::test_a_reflected_hello_is_ones_own",
        (
            Change(
                "blockchain/runtime/handshake.py",
                "if peer_id == self._hello.node_id:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "role_reflection",
        "both roles have one tag",
        "tests/runtime/test_handshake.py::test_a_proof_under_the_tag_of_the_other_role_is_refused",
        (
            Change(
                "blockchain/runtime/handshake.py",
                "return self.dialler if role is Role.DIALLER else self.listener",
                "return self.dialler",
            ),
        ),
    ),
    Mutant(
        "cross_site_websocket",
        "browsers may connect",
        "tests/runtime/test_p2p_gate.py::test_a_browser_is_refused",
        (
            Change(
                "blockchain/runtime/websocket.py",
                'if "Origin" in request.headers:',
                "if False:",
            ),
        ),
    ),
    Mutant(
        "compressed_frames",
        "compression is agreed to",
        "tests/runtime/test_p2p_gate.py::test_no_compression_is_agreed_to",
        (
            Change(
                "blockchain/runtime/websocket.py",
                '"compression": None,\n        "open_timeout"',
                '"compression": "deflate",\n        "open_timeout"',
            ),
        ),
    ),
    Mutant(
        "slow_reader",
        "what waits has no maximum",
        "tests/runtime/test_p2p_traffic.py::test_a_slow_reader_is_cut",
        (
            Change(
                "blockchain/runtime/link.py",
                "if len(self._outgoing) >= self._limits.outgoing_messages_max or waiting_bytes > "
                "self._limits.outgoing_bytes_max:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "ping_flood",
        "pings and pongs have no maximum",
        "tests/runtime/test_p2p_traffic.py::test_who_pings_or_pongs_without_end_is_cut",
        (
            Change(
                "blockchain/runtime/websocket.py",
                "if self.control_frames > CONTROL_FRAMES_MAX:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "message_flood",
        "all that comes is verified",
        "tests/node/test_verify.py::test_what_is_over_the_allowance_is_not_verified",
        (
            Change(
                "blockchain/node/verify.py",
                "if kind in LABORIOUS and cost > context.left(kind):",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "unasked_data",
        "what nobody asked for is taken",
        "tests/node/test_verify.py::test_what_nobody_asked_for_is_not_verified",
        (
            Change(
                "blockchain/node/verify.py",
                "if cost > context.owed(kind):",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "fresh_flood",
        "each transaction that comes unasked is verified",
        "tests/node/test_fresh.py::test_what_is_beyond_the_allowance_is_not_verified_and_comes_again_by_its_id",
        (Change("blockchain/node/peers.py", "Transactions, Fresh, Blocks,", "Transactions, Blocks,"),),
    ),
    Mutant(
        "transaction_flood",
        "they wait in the lane of their peer",
        "tests/runtime/test_intake_beside.py::test_a_vote_does_not_wait_behind_transactions_of_the_same_peer",
        (
            Change(
                "blockchain/runtime/intake.py",
                "if isinstance(event, FrameReceived) and is_about_transactions(event.data):\n                await",
                "if False:\n                await",
            ),
        ),
    ),
    Mutant(
        "vote_flood",
        "every round's are kept",
        "tests/consensus/test_votes.py::test_memory_is_bounded_by_validators_whatever_one_sends",
        (
            Change(
                "blockchain/consensus/votes.py",
                "if vote.round > kept > current_round:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "proposal_flood",
        "every round's are kept",
        "tests/consensus/test_bft.py::test_proposals_of_the_next_rounds_are_kept_and_later_ones_are_not",
        (
            Change(
                "blockchain/consensus/bft.py",
                "is_ahead = proposal.round > current.rules.round + PROPOSALS_AHEAD_MAX",
                "is_ahead = False",
            ),
        ),
    ),
    Mutant(
        "sync_memory",
        "there is always room",
        "tests/node/test_sync_sources.py::test_what_is_expected_and_kept_is_bounded_in_bytes",
        (
            Change(
                "blockchain/node/ranges.py",
                "return first == height or (first < height + AHEAD_MAX and expected <= KEPT_BYTES_MAX)",
                "return True",
            ),
        ),
    ),
    Mutant(
        "amplification",
        "each status is answered in full",
        "tests/node/test_attacks.py::test_status_after_status_gets_only_so_many_blocks_a_tick",
        (
            Change(
                "blockchain/node/peers.py",
                "return self._blocks_sent <= BLOCKS_SENT_MAX",
                "return True",
            ),
        ),
    ),
    Mutant(
        "announcement_replay",
        "old words are news",
        "tests/node/test_announcements.py::test_old_words_that_are_sent_again_end_soon",
        (
            Change(
                "blockchain/node/announcements.py",
                "if said.time_ms < heard[0].time_ms - APART_MS:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "framed_relay",
        "its sender is blamed",
        "tests/consensus/test_bft.py::test_an_invalid_block_gets_nil_and_its_peer_no_blame",
        (
            Change(
                "blockchain/consensus/bft.py",
                "        ahead = untimely(\n",
                "        if not is_valid and given.peer is not None:\n"
                '            self._out.append(Penalize(given.peer, "malformed", "an invalid block"))\n'
                "        ahead = untimely(\n",
            ),
        ),
    ),
    Mutant(
        "bans_behind_nat",
        "an address is banned as long as an id",
        "tests/runtime/test_bans.py::test_a_proof_of_malice_bans_the_id_and_for_a_shorter_time_the_address",
        (
            Change(
                "blockchain/runtime/bans.py",
                "BanList(ADDRESS_BAN_S, ADDRESS_BAN_LONGEST_S)",
                "BanList(BAN_S, BAN_LONGEST_S)",
            ),
        ),
    ),
    Mutant(
        "lying_sync_peer",
        "certificates are not verified",
        "tests/node/test_sync_lies.py::test_a_liar_is_refused_and_banned_and_the_chain_fetched_from_the_other",
        (
            Change(
                "blockchain/node/sync.py",
                "self._engine.verify_seal(block, seal, self._chain.validators)",
                "pass",
            ),
        ),
    ),
    Mutant(
        "false_heights",
        "who says most is asked first",
        "tests/node/test_attacks.py::test_peers_that_say_they_are_far_ahead_and_never_answer_do_not_starve_sync",
        (
            Change(
                "blockchain/node/sources.py",
                "return conduct.has_served, -conduct.asked, peer.height, peer.id",
                "return False, peer.height, -conduct.asked, peer.id",
            ),
            Change(
                "blockchain/node/sources.py",
                "return conduct.rests_until <= tick and conduct.has_told and is_within",
                "return is_within",
            ),
        ),
    ),
    Mutant(
        "forged_transaction",
        "the signature is not verified",
        "tests/primitives/test_transaction.py::test_somebody_elses_signature_is_refused",
        (
            Change(
                "blockchain/primitives/transaction.py",
                "if not verify(PublicKey(transaction.sender), message, transaction.signature):",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "forged_vote",
        "the signature is not verified",
        "tests/node/test_verify.py::test_one_bad_vote_is_its_peers_fault",
        (
            Change(
                "blockchain/node/verify.py",
                "if not verify_message(message, validator.key, context.genesis_hash):",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "replayed_votes",
        "a vote counts each time that it comes",
        "tests/consensus/test_votes.py::test_the_same_vote_again_is_known",
        (
            Change(
                "blockchain/consensus/votes.py",
                "if known is not None:\n"
                "            return (Added.KNOWN if known.polka_round == vote.polka_round else "
                "Added.CONFLICT), []\n"
                "        first = votes.firsts.get(vote.validator)\n"
                "        if first is not None:",
                "first = votes.firsts.get(vote.validator)\n        if first is not None and known is None:",
            ),
        ),
    ),
    Mutant(
        "name_that_leads_inside",
        "names are dialled wherever they lead",
        "tests/runtime/test_dial_back.py::test_an_address_that_a_peer_told_of_is_not_dialled_wher"
        "e_it_leads_to_something_nearer",
        (
            Change(
                "blockchain/runtime/dialler.py",
                "if dial.told_from is None:",
                "if True:",
            ),
        ),
    ),
)
