"""Bugs in the rules of value: money, stake, penalties, who gets which seat."""

from __future__ import annotations

from typing import Final

from tests.mutants.planted import Change, Mutant

_ACCOUNTS: Final = "blockchain/ledger/accounts.py"
_STAKE: Final = "blockchain/ledger/stake.py"
_RELEASES: Final = "blockchain/ledger/releases.py"
_PENALTIES: Final = "blockchain/ledger/penalties.py"
_REWARDS: Final = "blockchain/ledger/rewards.py"
_ADMISSION: Final = "blockchain/ledger/admission.py"
_CLOSING: Final = "blockchain/ledger/closing.py"
_ABSENCE: Final = "blockchain/ledger/absence.py"

MUTANTS: Final = (
    Mutant(
        "nonce_not_checked",
        "whoever was paid once hands the same transaction in until the account is empty",
        "tests/ledger/test_accounts.py::test_a_refusal_has_its_code_and_changes_nothing",
        (Change(_ACCOUNTS, "        if nonce != sender.nonce:\n            raise _wrong_nonce(sender, nonce)\n", ""),),
    ),
    Mutant(
        "nonce_may_leave_a_gap",
        "pools that hold different transactions of an account disagree on what applies",
        "tests/ledger/test_accounts.py::test_a_refusal_has_its_code_and_changes_nothing",
        (Change(_ACCOUNTS, "if nonce != sender.nonce:", "if nonce < sender.nonce:"),),
    ),
    Mutant(
        "expiry_one_too_late",
        "a payment that its sender believes dead, and has made again, is made twice",
        "tests/ledger/test_accounts.py::test_expiry_is_the_last_height_at_which_it_stands",
        (Change(_ACCOUNTS, "height > transaction.expiry:", "height > transaction.expiry + 1:"),),
    ),
    Mutant(
        "anybody_mints",
        "money out of nothing, for everybody",
        "tests/ledger/test_accounts.py::test_a_refusal_has_its_code_and_changes_nothing",
        (
            Change(
                _ACCOUNTS,
                "if type(transaction.payload) is Exchange and transaction.sender != self._spec.issuer:",
                "if isinstance(transaction.payload, Exchange) and self._spec.issuer is None:",
            ),
        ),
    ),
    Mutant(
        "supply_bound_counts_one_minting",
        "the issuer mints the whole supply again and again",
        "tests/ledger/test_accounts.py::test_minting_ends_at_the_bound_and_what_is_burnt_makes_no_room",
        (Change(_ACCOUNTS, "if totals.minted + amount > bound:", "if amount > bound:"),),
    ),
    Mutant(
        "rewards_pass_the_supply_bound",
        "every block mints on beyond the bound that genesis promises",
        "tests/ledger/test_rewards.py::test_minting_ends_at_the_bound_and_what_is_burnt_makes_no_room",
        (
            Change(
                _REWARDS,
                "minted = min(parameters.reward_per_block, parameters.supply_max - totals.minted)",
                "minted = parameters.reward_per_block",
            ),
        ),
    ),
    Mutant(
        "fee_taken_beside_the_balance",
        "an account that can pay the amount alone is a fee below nothing: its record cannot be read any more",
        "tests/ledger/test_accounts.py::test_a_refusal_has_its_code_and_changes_nothing",
        (
            Change(
                _ACCOUNTS,
                "if cost > sender.balance:",
                "if cost > sender.balance + transaction.fee:",
            ),
        ),
    ),
    Mutant(
        "only_the_last_fee_counts",
        "nodes that add up the fees of a block and nodes that do not part with the first block of two",
        "tests/ledger/test_accounts.py::test_a_block_applies_its_transactions_one_after_the_other",
        (Change(_ACCOUNTS, "fees += transaction.fee", "fees = transaction.fee"),),
    ),
    Mutant(
        "burnt_money_not_counted",
        "supply and books part at the first penalty",
        "tests/ledger/test_absence.py::test_absence_may_cost_a_small_share_rounded_down",
        (Change(_ACCOUNTS, "add_to_totals(state, burnt=lost)", "add_to_totals(state, burnt=lost - lost)"),),
    ),
    Mutant(
        "unbonding_waits_for_blocks_only",
        "on a chain that is quick for a night, stake is gone before its owner's votes can be held against it",
        "tests/ledger/test_releases.py::test_it_comes_back_with_the_first_block_after_both",
        (
            Change(
                _RELEASES,
                "return is_deep and header.time_ms > entry.left_ms + parameters.unbonding_ms",
                "return is_deep and header.time_ms > entry.left_ms",
            ),
        ),
    ),
    Mutant(
        "unbonding_waits_for_time_only",
        "after a weekend without blocks, stake is gone with the next one",
        "tests/ledger/test_releases.py::test_it_comes_back_with_the_first_block_after_both",
        (
            Change(
                _RELEASES,
                "is_deep = header.height > entry.leaves + parameters.unbonding_blocks",
                "is_deep = header.height > entry.leaves",
            ),
        ),
    ),
    Mutant(
        "unbonding_stake_is_not_punished",
        "who takes its stake back and then signs against itself loses nothing",
        "tests/ledger/test_penalties.py::test_what_left_before_the_offence_was_shown_is_taken_from_too",
        (
            Change(
                _PENALTIES,
                "Unbonding(left(entry.amount), entry.leaves, entry.left_ms) for entry in",
                "Unbonding(entry.amount, entry.leaves, entry.left_ms) for entry in",
            ),
        ),
    ),
    Mutant(
        "stake_that_waits_is_not_punished",
        "an offender keeps most of its stake where the penalties do not look",
        "tests/ledger/test_penalties.py::test_each_amount_loses_its_part_and_the_rest_unbonds",
        (
            Change(
                _PENALTIES,
                "sum(left(entry.amount) for entry in before.waiting)",
                "sum(entry.amount for entry in before.waiting)",
            ),
        ),
    ),
    Mutant(
        "an_offender_stays_in_the_set",
        "who signed against itself goes on voting with what is left",
        "tests/ledger/test_penalties.py::test_the_offender_is_out_of_the_set_after_the_delay_and_paid_the_rest_after_unbonding",
        (Change(_PENALTIES, "        is_out=True,\n", "        is_out=False,\n"),),
    ),
    Mutant(
        "a_forger_is_paid_for_accusing_itself",
        "an offender puts the evidence against itself into its own block, and gets back a part of its penalty",
        "tests/ledger/test_penalties.py::test_a_forger_gets_nothing_for_itself_and_its_part_for_others",
        (Change(_PENALTIES, "if offender != header.forger:", "if lost:"),),
    ),
    Mutant(
        "signatures_left_out_enrich_the_others",
        "forgers leave the precommits of others out of their blocks, and share what those would have earned",
        "tests/ledger/test_distribution.py::test_a_signature_left_out_enriches_nobody",
        (Change(_REWARDS, "for_signers * one.stake // members.total)", "for_signers * one.stake // signed)"),),
    ),
    Mutant(
        "validator_key_of_two_accounts",
        "two validators with one key: each vote of it counts twice, and each is evidence against both",
        "tests/ledger/test_accounts.py::test_a_validator_key_is_used_once",
        (Change(_STAKE, "if owner_of(state, key) not in owners:", "if owner_of(state, key) in (b'',):"),),
    ),
    Mutant(
        "validator_key_that_proves_nothing",
        "a key of small order signs now and then and never proves: its draws are lost rounds for ever",
        "tests/ledger/test_accounts.py::test_an_account_whose_own_key_proves_nothing_cannot_stake_with_it",
        (Change(_STAKE, "    if not vrf.is_key(key):\n", "    if not key:\n"),),
    ),
    Mutant(
        "the_last_validator_may_leave",
        "a height without validators: the chain has ended",
        "tests/ledger/test_stake.py::test_the_last_candidate_stays",
        (Change(_STAKE, "totals_of(state).candidates == 1:", "totals_of(state).candidates == 0:"),),
    ),
    Mutant(
        "who_is_out_stakes_again",
        "who signed against itself comes back with the next transaction",
        "tests/ledger/test_stake.py::test_who_is_out_can_do_nothing_any_more",
        (Change(_STAKE, "    if holder.is_out:\n", "    if not holder.keys:\n"),),
    ),
    Mutant(
        "admission_step_dropped",
        "somebody stakes twice the whole set at once, and nobody runs it: the chain has stopped",
        "tests/ledger/test_closing.py::test_new_stake_comes_in_by_a_share_of_the_set_oldest_first",
        (
            Change(
                _ADMISSION,
                "amount = entry.amount if room is None else min(entry.amount, free_room(state, room))",
                "amount = entry.amount if room is None else max(entry.amount, free_room(state, 0))",
            ),
        ),
    ),
    Mutant(
        "stake_taken_back_is_admitted",
        "what was unstaked while it waited becomes stake all the same: money from nowhere",
        "tests/ledger/test_closing.py::test_a_ticket_whose_stake_was_taken_back_is_passed_over",
        (
            Change(
                _ADMISSION,
                "return next((entry for entry in holder.waiting if entry.ticket == ticket), None)",
                "return next(iter(holder.waiting), Waiting(ticket, 1))",
            ),
        ),
    ),
    Mutant(
        "everybody_may_be_away_at_once",
        "an outage suspends more than a third, and those who are left are no quorum: the chain has stopped",
        "tests/ledger/test_closing.py::test_who_missed_most_is_suspended_first_and_the_rest_waits_for_room",
        (Change(_CLOSING, "if bonded <= away_share(budget) and granted + bonded <= budget:", "if bonded >= 0:"),),
    ),
    Mutant(
        "two_pauses_of_one_block_share_no_budget",
        "more than a third pauses in one block, and the chain has stopped",
        "tests/ledger/test_stake.py::test_pauses_of_one_block_share_the_budget",
        (
            Change(
                _STAKE,
                "if bonded > away_share(budget) or totals.inactive + bonded > budget:",
                "if bonded > away_share(budget) or bonded > budget:",
            ),
        ),
    ),
    Mutant(
        "a_pause_counts_as_absence",
        "who says beforehand that it is away, as it should, is suspended for it and pays",
        "tests/ledger/test_absence.py::test_who_keeps_its_seat_in_its_pause_misses_nothing",
        (
            Change(
                _ABSENCE,
                "return holder.is_out or bool(holder.suspension) or is_paused",
                "return holder.is_out or bool(holder.suspension) or (is_paused and height < 0)",
            ),
        ),
    ),
    Mutant(
        "a_new_key_counts_at_once",
        "half of the nodes verify with the old key and half with the new one",
        "tests/ledger/test_stake.py::test_a_rotation_counts_after_the_delay_and_both_keys_are_the_validators",
        (
            Change(
                _STAKE,
                "keys = (*holder.keys, KeyFrom(closed_by(parameters, height), key))",
                "keys = (*holder.keys, KeyFrom(height + 1, key))",
            ),
        ),
    ),
)
