"""An engine that is mute or silent: what it keeps back, and what it says when it speaks again."""

from __future__ import annotations

from blockchain.primitives.scalars import NO_SIGNATURE
from blockchain.primitives.vote import Step
from blockchain.seams import Effect, PoolChanged, SetTimer, Sign, SignRefused, TimerFired, TimerKey, TimerKind
from tests.consensus.bench import HEIGHT, Bench, asked, block_of, signed, started, vote_of
from tests.samples import PRECOMMIT, PREVOTE

BLOCK = block_of()
V = BLOCK.id
ME = 3


def test_a_mute_engine_signs_nothing_until_it_may_again() -> None:
    bench = started()
    bench.engine.voice.mute()
    assert asked(bench.propose(BLOCK)) == []
    bench = started()
    bench.engine.voice.mute()
    bench.engine.voice.unmute()
    assert asked(bench.propose(BLOCK)) != []


def test_what_a_mute_engine_keeps_back_leaves_when_it_speaks_again() -> None:
    """All of a chain may listen at the same time: what nobody casts then must not be lost for good."""
    bench = started()
    bench.engine.voice.mute()
    assert asked([*bench.propose(BLOCK), *bench.prevotes(V)]) == [] and bench.engine.voice.is_mute
    bench.engine.voice.unmute()
    assert not bench.engine.voice.is_mute
    effects = bench.give(PoolChanged())
    wanted = [vote_of(ME, PREVOTE, V), vote_of(ME, PRECOMMIT, V)]
    assert [signed(message) for message in asked(effects)] == wanted
    assert asked(bench.give(PoolChanged())) == [], "once"


def test_of_rounds_that_are_past_nothing_is_kept_back() -> None:
    bench = started()
    bench.engine.voice.mute()
    bench.timeout(Step.PROPOSE)
    bench.precommits(None)
    bench.to_round(1)
    bench.timeout(Step.PROPOSE, 1)
    bench.engine.voice.unmute()
    [message] = asked(bench.give(PoolChanged()))
    assert signed(message) == vote_of(ME, PREVOTE, None, round=1)


def test_what_comes_back_from_the_signer_of_a_mute_engine_is_dropped() -> None:
    """It is on record, and may be published after the next start; lost votes are no offence, contradicting ones are."""
    bench = started()
    effects = bench.propose(BLOCK)
    bench.engine.voice.mute()
    assert bench.sign(effects) == [] and bench.engine.current.signed == []


def test_a_silenced_height_is_passed_without_a_signature() -> None:
    """Nor is what was kept back for it."""
    bench = started()
    bench.engine.voice.mute()
    bench.propose(BLOCK)
    bench.engine.voice.silence(HEIGHT)
    bench.engine.voice.silence(HEIGHT - 1)
    bench.engine.voice.unmute()
    assert asked(bench.give(PoolChanged())) == [] and asked(bench.timeout(Step.PROPOSE)) == []
    bench.precommits(V)
    assert bench.app.height == HEIGHT + 1 and asked(bench.timeout(Step.PROPOSE)) != []


def test_messages_are_asked_for_without_a_signature() -> None:
    assert all(message.signature == NO_SIGNATURE for message in asked(started().propose(BLOCK)))


# ----------------------------------------------------------------------------------------------- a signer that refuses


AGAIN = TimerKey(TimerKind.SIGN_AGAIN, HEIGHT, 0)


def refuse(bench: Bench, effects: list[Effect]) -> list[Effect]:
    """The signer cannot write its record: nothing that is asked for is signed."""
    return [told for message in asked(effects) for told in bench.give(SignRefused(message, "no space left"))]


def pauses(effects: list[Effect]) -> list[int]:
    return [effect.delay_ms for effect in effects if isinstance(effect, SetTimer) and effect.key == AGAIN]


def test_what_a_signer_refused_is_asked_for_again_and_counts_when_it_is_signed() -> None:
    """A validator alone would stand for good otherwise, once its disk had been full for a moment."""
    bench = started()
    assert pauses(refuse(bench, bench.propose(BLOCK))) == [1_000]
    effects = bench.give(TimerFired(AGAIN))
    assert [signed(message) for message in asked(effects)] == [vote_of(ME, PREVOTE, V)]
    bench.sign(effects)
    assert vote_of(ME, PREVOTE, V) in bench.engine.current.signed
    assert asked(bench.give(TimerFired(AGAIN))) == [], "it has all that it asked for"


def test_the_pauses_grow_and_end_with_the_height() -> None:
    bench = started()
    effects = bench.propose(BLOCK)
    seen: list[int] = []
    for _ in range(8):
        seen += pauses(refuse(bench, effects))
        effects = bench.give(TimerFired(AGAIN))
    assert seen == [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 64_000]
    other = SignRefused(vote_of(ME, PREVOTE, V, height=HEIGHT - 1), "too late")
    assert pauses(bench.give(other)) == []


def test_nothing_is_asked_for_again_below_what_was_signed_nor_of_a_round_that_is_past() -> None:
    bench = started()
    refuse(bench, bench.propose(BLOCK))
    bench.sign(bench.prevotes(V))  # the precommit is above the prevote that was refused
    assert asked(bench.give(TimerFired(AGAIN))) == []
    bench = started()
    refuse(bench, bench.propose(BLOCK))
    bench.to_round(1)
    assert asked(bench.give(TimerFired(AGAIN))) == []


def test_a_mute_engine_asks_for_nothing_that_was_refused() -> None:
    bench = started()
    refuse(bench, bench.propose(BLOCK))
    bench.engine.voice.mute()
    assert not [effect for effect in bench.give(TimerFired(AGAIN)) if isinstance(effect, Sign)]
