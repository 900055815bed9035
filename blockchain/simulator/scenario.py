"""A scenario is everything about a run that is decided before time begins, as data: it can be read, written and cut.

`drawing.py` makes one of a seed, `playing.py` plays it, `shrinking.py` leaves out of it what a failure does not need.
What happens within a run by chance (delays, losses, what clients send) follows from `seed` as well.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Struct

from blockchain.errors import ConfigError, InvalidGenesis
from blockchain.genesis import check_genesis
from blockchain.node.bodies import OUTLINED_MIN
from blockchain.primitives.chain import ChainSpec, GenesisAccount, GenesisValidator, Parameters
from blockchain.primitives.crypto import Address, SigningKey
from blockchain.simulator.byzantine.cast import ACTORS, Playing
from blockchain.simulator.faults import Fault
from blockchain.simulator.network import Links

GENESIS_MS: Final = 1_700_000_000_000
WALLETS: Final = 3  # funded, and busy while faults come and go; one more is kept for the time after healing
BALANCE: Final = 100_000
NODE_LISTS: Final = ("nodes", "senders", "receivers")  # fields of faults
SCENARIO_BYTES_MAX: Final = 1 << 20  # a thousand nodes and as many faults take less


class Member(Struct, frozen=True, forbid_unknown_fields=True):
    """A node. `key` is the number of its validator key (none: it follows), `stake` what genesis gives to that.

    One with a key and no stake comes late: what it stakes may make it a validator.
    """

    key: int | None = None
    stake: int = 0


class Scenario(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Faults come and go until `storm_ms`, or until a node is near `heights`, if that is sooner; then all heals.

    That is not before `storm_min_ms`. `absent` are nodes that never run, not even then. A client has something to send
    each `load_ms` or so. Blocks of `outlined_min` transactions or more are proposed by their ids. Until all heals a
    node takes up to `verify_ms_max` to verify a block, or transactions.
    """

    seed: int
    nodes: tuple[Member, ...]
    is_demo: bool  # then stake may count at once, so that the set changes within a run
    parameters: Parameters
    links: Links
    skew_max_ms: int
    load_ms: int
    is_staking: bool  # clients stake too; what they stake signs nothing, and is no more than the chain can do without
    faults: tuple[Fault, ...]
    hostile: tuple[Playing, ...] = ()  # validators, and the names of their actors
    heights: int
    storm_ms: int
    storm_min_ms: int = 0
    healed_delay_ms: tuple[int, int] | None = None  # of links after healing, which keep the order then
    absent: tuple[int, ...] = ()
    outlined_min: int = OUTLINED_MIN
    verify_ms_max: int = 0


def key(name: str, number: int) -> SigningKey:
    """A key that is the same in every run."""
    return SigningKey(sha256(f"{name} {number}".encode()).digest())


def keys_of(scenario: Scenario) -> list[SigningKey | None]:
    """Each node's validator key."""
    return [None if member.key is None else key("validator", member.key) for member in scenario.nodes]


def spec_of(scenario: Scenario) -> ChainSpec:
    """The chain that the nodes run. Raises InvalidGenesis where the numbers make none."""
    if not any(member.key is not None and member.stake > 0 for member in scenario.nodes):
        raise InvalidGenesis("no node is a validator")
    wallets = [key("wallet", number) for number in range(WALLETS + 1)]
    owners = [*wallets, *(held for held in keys_of(scenario) if held is not None)]
    spec = ChainSpec(
        chain_id=f"sim-{scenario.seed}",
        time_ms=GENESIS_MS,
        demo=scenario.is_demo,
        parameters=scenario.parameters,
        issuer=Address(wallets[0].public_key),
        accounts=tuple(GenesisAccount(Address(owner.public_key), BALANCE) for owner in owners),
        validators=tuple(
            GenesisValidator(Address(key("validator", member.key).public_key), member.stake)
            for member in scenario.nodes
            if member.key is not None and member.stake > 0
        ),
    )
    check_genesis(spec)
    return spec


def to_json(scenario: Scenario) -> bytes:
    """A scenario as a file: the same bytes for the same scenario."""
    return msgspec.json.format(msgspec.json.encode(scenario), indent=2) + b"\n"


def of_json(raw: bytes) -> Scenario:
    """The scenario of a file. Raises ConfigError where it is none."""
    if len(raw) > SCENARIO_BYTES_MAX:
        raise ConfigError(f"{len(raw)} bytes are no scenario: it takes at most {SCENARIO_BYTES_MAX}")
    try:
        scenario = msgspec.json.decode(raw, type=Scenario)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ConfigError(f"no scenario: {error}") from None
    check_scenario(scenario)
    return scenario


def check_scenario(scenario: Scenario) -> None:
    """Whether it can be played. Raises ConfigError."""
    try:
        spec_of(scenario)
    except InvalidGenesis as error:
        raise ConfigError(f"no scenario: {error}") from None
    check_names(scenario)
    _check_numbers(scenario)
    unfit = {*scenario.absent, *(number for number, _ in scenario.hostile)}
    if not any(member.stake > 0 for number, member in enumerate(scenario.nodes) if number not in unfit):
        raise ConfigError("no scenario: no validator is there and honest")


def _check_numbers(scenario: Scenario) -> None:
    """Times and shares that can be. Raises ConfigError."""
    links = scenario.links
    shares = (links.loss, links.duplicates, links.late)
    healed_ms = scenario.healed_delay_ms or (0, 0)
    ranges = (links.delay_ms, links.late_ms, healed_ms, *((fault.at_ms, fault.until_ms) for fault in scenario.faults))
    if not all(0 <= share <= 1 for share in shares):
        raise ConfigError("no scenario: what links do is a share from 0 to 1")
    if not all(0 <= least <= most for least, most in ranges):
        raise ConfigError("no scenario: something ends before it begins, or begins before 0")
    if (
        min(scenario.heights, scenario.load_ms, scenario.outlined_min) < 1
        or min(scenario.skew_max_ms, scenario.storm_ms, scenario.seed, scenario.verify_ms_max) < 0
    ):
        raise ConfigError(
            "no scenario: heights, load_ms and outlined_min are 1 or more, "
            "skew_max_ms, storm_ms, verify_ms_max and seed 0 or more"
        )


def nodes_of(fault: Fault) -> frozenset[int]:
    """The nodes that a fault names, whatever its kind."""
    named: set[int] = set()
    for field in fault.__struct_fields__:
        value = getattr(fault, field)
        if field == "node":
            named.add(value)
        elif field in NODE_LISTS:
            named.update(value)
        elif field == "groups":
            named.update(*value)
    return frozenset(named)


def check_names(scenario: Scenario) -> None:
    """Each node and actor that is named is there. Raises ConfigError."""
    named = {*scenario.absent, *(number for number, _ in scenario.hostile)}
    named.update(*(nodes_of(fault) for fault in scenario.faults))
    strange = sorted(number for number in named if not 0 <= number < len(scenario.nodes))
    if strange:
        raise ConfigError(f"no node {strange[0]}: there are 0 to {len(scenario.nodes) - 1}")
    for name in (name for _, names in scenario.hostile for name in names):
        if name not in ACTORS:
            raise ConfigError(f"no actor {name!r}: there is {', '.join(ACTORS)}")
