"""`validators`: who validates, what each did over the newest blocks, and why one missed a height."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from blockchain.commands.arguments import add_command, add_json, add_url, whole_number
from blockchain.commands.text import count_text, facts, json_text, short_address, table

if TYPE_CHECKING:
    from blockchain.client import Client, ValidatorList, ValidatorRecord
    from blockchain.client.seen import MissedHeight, Record, ValidatorEntry, Window
    from blockchain.commands.arguments import Commands


def add_parser(commands: Commands) -> None:
    parser = add_command(
        commands,
        "validators",
        "show who validates, and what each did lately",
        run,
        "Show who validates: stake, share of the lottery, wins against those expected, signatures missed, on line or "
        "not. With an ADDRESS: the same of one, and the heights that it missed with the reason, where the node knows.",
    )
    parser.add_argument("address", nargs="?", help="of one validator (bech32m or hex), or the file of its key")
    parser.add_argument("--height", type=whole_number, help="the set of this height, without what they did")
    add_url(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    from blockchain.client import Client

    with Client(arguments.url) as node:
        if arguments.address is not None:
            return _run_one(arguments, node)
        found = node.validators(arguments.height)
    if found is None:
        print(f"blockchain: this node does not hold the set of height {arguments.height}", file=sys.stderr)
        return 1
    print(json_text(found) if arguments.json else page(found))
    return 0


def _run_one(arguments: argparse.Namespace, node: Client) -> int:
    from blockchain.commands.keyring import read_address

    address = read_address(arguments.address).hex()
    found = node.validator(address) or _by_key(address, node)
    if found is None:
        print(
            f"blockchain: {arguments.address} is no validator, and was none in the newest blocks; of a validator that "
            "is away, or has another key than its account, give the account's address",
            file=sys.stderr,
        )
        return 1
    print(json_text(found) if arguments.json else record_page(found))
    return 0


def _by_key(key: str, node: Client) -> ValidatorRecord | None:
    """Of the validator that votes with this key for an account with another one; None: there is none in the set."""
    told = node.validators()
    accounts = [one.address for one in told.validators if one.key == key] if told is not None else []
    return node.validator(accounts[0]) if accounts else None


def page(found: ValidatorList) -> str:
    heading = f"{count_text(found.count, 'validator')} at height {found.height}, stake {found.total_stake}"
    if found.window is None:
        rows = [("VALIDATOR", "STAKE", "SHARE"), *(_plain_row(one) for one in found.validators)]
        return f"{heading}\n\n{table(rows)}"
    names = (
        "VALIDATOR",
        "STAKE",
        "SHARE",
        "ONLINE",
        "WINS",
        "EXPECTED",
        "P",
        "FORGED",
        "PASSED",
        "MISSED",
        "UPTIME",
        "EARNED",
        "LOST",
    )
    rows_of_all = [names, *(_row(one) for one in found.validators)]
    return f"{heading}; over {_window_text(found.window)}\n\n{table(rows_of_all)}"


def _plain_row(one: ValidatorEntry) -> tuple[str, ...]:
    return (one.address, str(one.stake), _percent(one.share))


def _row(one: ValidatorEntry) -> tuple[str, ...]:
    told = _record_cells(one.record) if one.record is not None else ("-",) * 9
    return (short_address(one.address), str(one.stake), _percent(one.share), _online(one.is_online), *told)


def _record_cells(record: Record) -> tuple[str, ...]:
    return (
        str(record.wins),
        f"{record.expected_wins:.1f}",
        _p_text(record.p_value),
        str(record.forged),
        str(record.let_pass),
        str(record.missed),
        _percent(record.uptime),
        str(record.earned_forging + record.earned_signing),
        str(record.lost),
    )


def record_page(found: ValidatorRecord) -> str:
    record = found.record
    lines: list[tuple[str, object]] = [
        ("address", found.address),
        ("key", found.key or "none: it is not in the set of this height; `blockchain account` says why"),
        ("stake", f"{found.stake}  ({_percent(found.share)} of the lottery)"),
        ("on line", _online(found.is_online)),
        ("window", _window_text(found.window)),
        (
            "wins",
            f"{record.wins} of {record.draws} draws, {record.expected_wins:.1f} expected, {_luck(record.p_value)}",
        ),
        ("blocks", f"{record.forged} forged; {count_text(record.let_pass, 'turn')} let pass"),
        ("uptime", f"{_percent(record.uptime)}: missing in {record.missed} of {record.certificates} certificates"),
        ("earned", f"{record.earned_forging} by forging, {record.earned_signing} by signing; {record.lost} lost"),
        *(("missed", _missed_text(one)) for one in found.missed_heights),
    ]
    return facts(lines)


def _missed_text(one: MissedHeight) -> str:
    reasons = {
        "offline": "offline: no word of it came",
        "silent": "silent: no precommit of it came, though there had been a word of it within 15 s",
        "nil": "it precommitted nil",
        "late": f"late: its precommit came {one.late_ms} ms after the certificate was there",
        "left_out": "its precommit was here in time; the next forger had not got it, or left it out",
    }
    return f"height {one.height}  {reasons.get(one.reason, 'not known: this node did not see it live')}"


def _luck(p_value: float | None) -> str:
    return "nothing drawn yet" if p_value is None else f"p {_p_text(p_value)}"


def _p_text(p_value: float | None) -> str:
    return "-" if p_value is None else f"{p_value:.3f}"


def _online(is_online: bool | None) -> str:
    return "-" if is_online is None else "yes" if is_online else "no"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"


def _window_text(window: Window) -> str:
    return f"blocks {window.first} to {window.last}" if window.blocks else "no block yet"
