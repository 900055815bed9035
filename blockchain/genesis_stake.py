"""What genesis may not say of stake: rules by which a chain could be halted, stuck or robbed (docs/protocol.md §9.3).

Part of `genesis.check_genesis`; a demo chain, which nobody relies on, may have some of them.
"""

from __future__ import annotations

from typing import Final

from blockchain.errors import InvalidGenesis
from blockchain.primitives.chain import ChainSpec, Parameters

STEP_MAX_BP: Final = 3_333  # of new stake within stake_delay + 1 heights: more could be a third, and nobody runs it
ABSENCE_SHARE_MIN_BP: Final = 5_000  # a forger may leave out a third of the precommits, and so of anybody's
ACTIVE_SHARE_MIN_BP: Final = 6_667  # what is away is stake that does not defend the chain
_WHOLE_BP: Final = 10_000


def check_stake_rules(spec: ChainSpec, supply: int) -> None:
    """`supply` is what genesis hands out. Raises InvalidGenesis with the reason."""
    parameters = spec.parameters
    _check_first_set(spec)
    if parameters.reward_per_block > 0 and supply >= parameters.supply_max:
        raise InvalidGenesis(
            f"reward_per_block {parameters.reward_per_block} can never be minted: genesis hands out all of supply_max"
        )
    if parameters.slash_bp == 0:
        raise InvalidGenesis("slash_bp 0: whoever signs two blocks of one height would lose nothing; at least 1")
    _check_absence(parameters)
    if not spec.demo:
        _check_penalty(parameters)
        _check_unbonding(parameters)
        _check_step(parameters, sum(validator.stake for validator in spec.validators))


def _check_first_set(spec: ChainSpec) -> None:
    parameters = spec.parameters
    if len(spec.validators) > parameters.validators_max:
        raise InvalidGenesis(
            f"{len(spec.validators)} validators are more than validators_max, {parameters.validators_max}"
        )
    least = min(validator.stake for validator in spec.validators)
    if least < parameters.stake_min:
        raise InvalidGenesis(f"a validator's stake of {least} is below stake_min, {parameters.stake_min}")


def _check_absence(parameters: Parameters) -> None:
    if parameters.absence_share_bp < ABSENCE_SHARE_MIN_BP:
        raise InvalidGenesis(
            f"absence_share_bp {parameters.absence_share_bp}: a forger needs two thirds of the precommits only, so "
            f"forgers could leave out the same third and have honest validators suspended; at least "
            f"{ABSENCE_SHARE_MIN_BP}"
        )
    if parameters.pause_interval < 2 * parameters.pause_blocks_max:
        raise InvalidGenesis(
            f"pause_interval {parameters.pause_interval} is less than twice pause_blocks_max, "
            f"{parameters.pause_blocks_max}: a few validators that are paused most of the time would leave no room to "
            "suspend anybody"
        )
    if parameters.active_share_min_bp < ACTIVE_SHARE_MIN_BP:
        raise InvalidGenesis(
            f"active_share_min_bp {parameters.active_share_min_bp}: a third of the stake could be paused and "
            f"suspended away; at least {ACTIVE_SHARE_MIN_BP}"
        )


def _check_penalty(parameters: Parameters) -> None:
    if parameters.stake_min * parameters.slash_bp < _WHOLE_BP:
        raise InvalidGenesis(
            f"stake_min {parameters.stake_min} with slash_bp {parameters.slash_bp}: the penalty of the smallest stake "
            f"would be nothing; their product has to be {_WHOLE_BP} or more"
        )


def _check_unbonding(parameters: Parameters) -> None:
    if parameters.unbonding_blocks < parameters.stake_delay + 2:
        raise InvalidGenesis(
            f"unbonding_blocks {parameters.unbonding_blocks} is less than stake_delay + 2, "
            f"{parameters.stake_delay + 2}: evidence could be too old before its offender has left"
        )


def _check_step(parameters: Parameters, total: int) -> None:
    """Of the set of a height more than two thirds must run, though what has just come in may not."""
    step, active = parameters.stake_step_max_bp, parameters.active_share_min_bp
    if step is None or step > STEP_MAX_BP:
        raise InvalidGenesis(
            f"stake_step_max_bp {'none' if step is None else step}: new stake that nobody runs could halt the chain; "
            f"at most {STEP_MAX_BP}, or say demo"
        )
    if 2 * (step * active + _WHOLE_BP * (_WHOLE_BP - active)) >= _WHOLE_BP * active:
        raise InvalidGenesis(
            f"stake_step_max_bp {step} with active_share_min_bp {active}: newcomers and those who come back at one "
            "height could be a third of the set, and nobody may run them"
        )
    if 2 * -(-total * step // _WHOLE_BP) >= total:
        raise InvalidGenesis(
            f"a stake of {total} in all: {step} bp of it, rounded up, is a third of the set with it, and could halt "
            "the chain; give the validators more units"
        )
    if parameters.validators_max * step < _WHOLE_BP:
        raise InvalidGenesis(
            f"validators_max {parameters.validators_max} with stake_step_max_bp {step}: a validator that takes "
            f"another's place could be more than may come in at once; their product has to be {_WHOLE_BP} or more"
        )
