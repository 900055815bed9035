"""`why`: what happened at a height, and who held it up, as a node saw it."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from blockchain.commands.arguments import add_command, add_json, add_url, whole_number
from blockchain.commands.text import facts, json_text, time_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockchain.client import Why
    from blockchain.client.seen import HeightSeen, HeightStored, RoundSeen, StepSeen
    from blockchain.commands.arguments import Commands


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "why", "show what held a height up, and who: its timeline as a node saw it", run)
    parser.add_argument("height", nargs="?", type=whole_number, help="default: the one in progress")
    add_url(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    from blockchain.client import Client

    with Client(arguments.url) as node:
        why = node.why(arguments.height)
    if why is None:
        print(f"blockchain: height {arguments.height} is neither final at this node nor in progress", file=sys.stderr)
        return 1
    print(json_text(why) if arguments.json else page(why))
    return 0


def page(why: Why) -> str:
    lines: list[tuple[str, object]] = [("height", why.height), ("verdict", why.verdict)]
    lines += _stored(why.final) if why.final is not None else []
    lines += _timeline(why.seen) if why.seen is not None else []
    return facts(lines)


def _stored(final: HeightStored) -> list[tuple[str, object]]:
    return [
        ("block", final.id),
        ("forger", f"{final.forger}  (round {final.round}, decided in round {final.decided_round})"),
        ("time", time_text(final.time_ms)),
        *(("let pass", address) for address in final.passed),
        *(("unsigned", address) for address in final.unsigned or ()),
    ]


def _timeline(seen: HeightSeen) -> list[tuple[str, object]]:
    events = [(at_ms, order, what) for order, (at_ms, what) in enumerate(_events(seen)) if at_ms is not None]
    told: list[tuple[str, object]] = [("began", time_text(seen.began_ms))]
    told += [("", f"{seen.rounds_dropped} earlier rounds are not kept")] if seen.rounds_dropped else []
    told += [(f"+{at_ms} ms", what) for at_ms, _, what in sorted(events)]
    told += [("refused", f"round {one.round}, {one.step}: {one.why}") for one in seen.refusals]
    return told


def _events(seen: HeightSeen) -> Iterator[tuple[int | None, str]]:
    yield seen.triggered_ms, "a block is due here"
    for one in seen.rounds:
        yield from _of_round(one)
    yield seen.final_ms, "taken over from a peer" if seen.is_synced else "final"


def _of_round(one: RoundSeen) -> Iterator[tuple[int | None, str]]:
    name = f"round {one.round}"
    yield one.began_ms, f"{name} begins, its forger is {one.forger}"
    late = f", {one.late_ms} ms after the time-out" if one.late_ms else ""
    rejected = f", not prevoted for: {one.rejected}" if one.rejected else ""
    yield one.proposed_ms, f"{name}: the proposal{late}{rejected}"
    yield from _of_step(f"{name}: prevote", one.prevotes)
    yield one.polka_ms, f"{name}: polka"
    yield one.locked_ms, f"{name}: locked"
    yield from _of_step(f"{name}: precommit", one.precommits)
    for end in one.timed_out:
        yield end.at_ms, f"{name}: time-out of {end.step}"


def _of_step(name: str, step: StepSeen) -> Iterator[tuple[int | None, str]]:
    """Each vote, and behind the last one who is missing."""
    for vote in step.votes:
        yield vote.at_ms, f"{name} of {vote.validator}{' for nil' if vote.is_nil else ''}"
    if step.votes and step.missing:
        more = f" and {step.missing_count - len(step.missing)} more" if step.missing_count > len(step.missing) else ""
        yield step.votes[-1].at_ms, f"{name}: none of {', '.join(step.missing)}{more}"
