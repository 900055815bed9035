"""`guilty`: who made a fork, from what the stores of several nodes hold, and what they export."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from blockchain.commands.arguments import add_command, add_json, whole_number
from blockchain.commands.text import json_text

if TYPE_CHECKING:
    from blockchain.commands.arguments import Commands
    from blockchain.consensus.accountability import Findings
    from blockchain.node.fork_case import ForkCase
    from blockchain.primitives.chain import ChainSpec
    from blockchain.primitives.vote import Evidence, Fork, Vote


def add_parser(commands: Commands) -> None:
    parser = add_command(
        commands,
        "guilty",
        "who made a fork, with the messages that prove it",
        run,
        "Name who is guilty of a fork, with the two signed messages each, and apart from them who claims a polka that "
        "nobody can show. A source is a data folder, a file made with --export, or a file with two certificates (JSON, "
        "or the bytes that a node keeps). More sources prove more. At least one has to be a data folder of yours, or "
        "an export that you believe: the validator set is taken from there.",
    )
    parser.add_argument("sources", nargs="+", type=Path, metavar="SOURCE", help="a data folder or a file")
    parser.add_argument("--genesis", type=Path, metavar="FILE", help="the chain's (default: the built-in demo chain)")
    parser.add_argument(
        "--height", type=whole_number, metavar="H", help="of the fork (default: the one that a source has proof of)"
    )
    parser.add_argument("--export", type=Path, metavar="FILE", help="write what the sources know to a file instead")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    from blockchain.commands.run import read_spec
    from blockchain.consensus.accountability import find_guilty
    from blockchain.errors import ConfigError

    spec = read_spec(arguments.genesis)
    case = _gather(arguments.sources, spec, arguments.height)
    if arguments.export is not None:
        return _export(case, arguments.export)
    fork = case.fork()
    if fork is None:
        raise ConfigError(
            f"no fork: the sources hold no two certificates for different blocks of height {case.height}: name another "
            "node's data folder, or another --height"
        )
    if case.validators is None:
        raise ConfigError(f"no source has the validator set of height {case.height}: name a data folder too")
    findings = find_guilty(fork.first, fork.second, case.votes, case.validators, spec.hash)
    print(json_text(_plain(fork, findings)) if arguments.json else page(fork, findings))
    return 0


def page(fork: Fork, findings: Findings) -> str:
    """For people: each guilty validator with its two messages, then what is not proven."""
    first, second = fork.first, fork.second
    lines = [
        f"fork at height {first.height}: block {first.block_id.hex()}, certified in round {first.round},",
        f"and block {second.block_id.hex()}, certified in round {second.round}",
        f"guilty: {len(findings.guilty)}, with {findings.guilty_stake} of {findings.total} of the stake",
    ]
    for one in findings.guilty:
        lines.append(f"  {_address(one.validator.address)}  stake {one.validator.stake}: {_offence(one.evidence)}")
        lines += [f"    {_words(message)}" for message in _messages(one.evidence)]
    lines.append(
        f"not proven: {len(findings.unproven)}, with {findings.unproven_stake} of the stake, claim a polka that no "
        "source shows"
    )
    for claim in findings.unproven:
        lines.append(f"  {_address(claim.validator.address)}  stake {claim.validator.stake}: round {claim.round}")
        lines.append(f"    {_words(claim.vote)}")
    if findings.skipped:
        lines.append(f"{findings.skipped} votes in the sources were of no use: of another height, or not signed")
    return "\n".join(lines)


def _gather(sources: list[Path], spec: ChainSpec, height: int | None) -> ForkCase:
    """What all sources know of one height: the one asked for, or else the first that a source has proof of."""
    from blockchain.errors import ConfigError, MalformedMessage
    from blockchain.node.fork_case import CASE_BYTES_MAX, merged, read_case
    from blockchain.runtime.sqlite_fork import find_fork, read_stored_case

    cases = []
    for source in sources:
        if not source.is_dir():
            try:
                with source.open("rb") as file:
                    raw = file.read(CASE_BYTES_MAX + 1)
            except OSError as error:
                raise ConfigError(
                    f"{source}: {error.strerror}: name a data folder, or a file of certificates"
                ) from None
            try:
                cases.append(read_case(raw, spec.hash))
            except MalformedMessage as error:
                raise MalformedMessage(f"{source}: {error.why}") from None
    folders = [source for source in sources if source.is_dir()]
    known = (found for folder in folders if (found := find_fork(folder, spec.hash)) is not None)
    height = height if height is not None else next((case.height for case in cases), None) or next(known, None)
    if height is None:
        raise ConfigError("no source has proof of a fork: name the --height at which you know two blocks")
    return merged([*cases, *(read_stored_case(folder, spec.hash, height) for folder in folders)])


def _export(case: ForkCase, file: Path) -> int:
    from blockchain.errors import ConfigError
    from blockchain.node.fork_case import case_to_json

    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(json_text(case_to_json(case)) + "\n")
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}: name a new file") from None
    print(f"{file}: {len(case.certificates)} certificates and {len(case.votes)} votes of height {case.height}")
    return 0


def _plain(fork: Fork, findings: Findings) -> dict[str, object]:
    from blockchain.primitives.jsonform import certificate_to_json, evidence_to_json, vote_to_json

    return {
        "height": fork.first.height,
        "certificates": [certificate_to_json(fork.first), certificate_to_json(fork.second)],
        "stake": findings.total,
        "guilty": [
            {
                "validator": _address(one.validator.address),
                "stake": one.validator.stake,
                "evidence": evidence_to_json(one.evidence),
            }
            for one in findings.guilty
        ],
        "not_proven": [
            {
                "validator": _address(one.validator.address),
                "stake": one.validator.stake,
                "vote": vote_to_json(one.vote),
                "block_id": one.value.hex(),
                "polka_round": one.round,
            }
            for one in findings.unproven
        ],
        "skipped": findings.skipped,
    }


def _offence(evidence: Evidence) -> str:
    from blockchain.primitives.vote import ForgottenLock

    return "it forgot its lock" if isinstance(evidence, ForgottenLock) else "it voted twice in one place"


def _messages(evidence: Evidence) -> list[Vote]:
    from blockchain.consensus.evidence import messages_of
    from blockchain.primitives.vote import Vote

    return [message for message in messages_of(evidence) if isinstance(message, Vote)]


def _words(vote: Vote) -> str:
    value = "nil" if vote.block_id is None else vote.block_id.hex()
    polka = f", polka round {vote.polka_round}" if vote.polka_round >= 0 else ""
    return f"{vote.step.name.lower()} of round {vote.round} for {value}{polka}, signature {vote.signature.hex()}"


def _address(address: bytes) -> str:
    from blockchain.primitives.address import format_address

    return format_address(address)
