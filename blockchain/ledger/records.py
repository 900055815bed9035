"""The ledger's records: their keys, and reading and writing them (docs/protocol.md §3.1).

By the first byte of the key:

a + address  Account: balance and next nonce
v + address  Stakeholder: an account's stake, keys and seats
b + address  Candidate: what closing a set needs to know of a stakeholder, so that it does not read all of them
m + address  Misses: the heights that a validator missed lately
i            the addresses whose suspension is due
k + key      the address whose validator key this is or was, for ever
w, w + ticket    Queue, and the address that the ticket belongs to: stake that waits to be bonded
u, u + number    Queue, and Leaver: stake that left its set, in the order of leaving
q + height   Changes: whose place in the set changes at that height (8 bytes, big-endian)
d + height   the addresses whose pause ends at that height
c, c + address   whether a transaction or evidence of this block touched anybody, and whom; gone at its end
s            Totals: sums and counts over the other records

The first two are what a light client reads, and defined in `primitives.records`. `put_stakeholder` keeps the candidates
and the counts in `s` in step with what it writes, so that nobody has to think of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Final, TypeVar

from msgspec import Meta, Struct
from msgspec.structs import replace

from blockchain.primitives import codec
from blockchain.primitives.crypto import Address, PublicKey
from blockchain.primitives.records import (
    RECORD_BYTES_MAX,
    STAKEHOLDER_PREFIX,
    Account,
    Stakeholder,
    account_key,
    stakeholder_key,
)
from blockchain.primitives.scalars import AddressField, Amount, Count, Height
from blockchain.seams import State

ACCOUNT_PREFIX: Final = b"a"
TOTALS_KEY: Final = b"s"
_CANDIDATE: Final = b"b"
_MISSES: Final = b"m"
_OWNER: Final = b"k"
_WAITING: Final = b"w"
_LEAVING: Final = b"u"
_CHANGES: Final = b"q"
_PAUSE_ENDS: Final = b"d"
_DUE: Final = b"i"
_TOUCHED: Final = b"c"
RECORD_PREFIXES: Final = tuple(bytes([prefix]) for prefix in b"avbmikwuqds")  # `c` is never there between two blocks
UNUSED: Final = Account()  # of an address that nothing ever came to
_R = TypeVar("_R")


class Totals(Struct, frozen=True, array_like=True):
    """`minted` and `burnt` only grow: what is burnt makes no room for minting."""

    minted: Amount = 0
    burnt: Amount = 0
    fees: Amount = 0  # of the block in progress; 0 between blocks
    stakers: Count = 0  # accounts with something bonded or waiting
    candidates: Count = 0  # accounts with something bonded that are not out
    bonded: Amount = 0  # what these have bonded
    joining: Amount = 0  # new stake in sets that are closed and do not count yet
    eligible: Amount = 0  # stake of the newest closed set, with those who are away
    inactive: Amount = 0  # of these, the stake that is away
    left_out: Count = 0  # candidates that the newest closing had no room for


class Candidate(Struct, frozen=True, array_like=True, gc=False):
    """There is one for whoever has bonded stake and is not out, or has a seat in the newest closed set."""

    bonded: Amount  # 0 for who is out
    seat: Amount
    may_be_away: bool  # has a suspension or a pause
    is_away: bool  # was, in the newest closed set


class Misses(Struct, frozen=True, array_like=True, gc=False):
    """Bit i of `bits`, a big-endian number, says that height `newest` − i was missed."""

    newest: Height
    bits: bytes


class Queue(Struct, frozen=True, array_like=True, gc=False):
    """Its entries have the numbers from `first` up to, not including, `next`."""

    first: Height = 0
    next: Height = 0


class Leaver(Struct, frozen=True, array_like=True, gc=False):
    leaves: Height
    address: AddressField


class Changes(Struct, frozen=True, array_like=True):
    """`added`: the stake that was admitted for this height."""

    added: Amount = 0
    addresses: Annotated[tuple[AddressField, ...], Meta(max_length=RECORD_BYTES_MAX)] = ()  # in address order


# ---------------------------------------------------------------------------------------------------- accounts


def account_of(state: State, address: Address) -> Account:
    """An account's record; one that was never used has nothing."""
    return account_at(state, account_key(address))


def account_at(state: State, key: bytes) -> Account:
    """The same by the record's key."""
    return state.read(key, Account) or UNUSED


def put_account(state: State, address: Address, account: Account) -> None:
    state.write(account_key(address), account)


def credit(state: State, address: Address, amount: int) -> None:
    key = ACCOUNT_PREFIX + address
    account = state.read(key, Account) or UNUSED
    state.write(key, Account(account.balance + amount, account.nonce))


# ---------------------------------------------------------------------------------------------------- totals


def totals_of(state: State) -> Totals:
    totals = state.read(TOTALS_KEY, Totals)
    assert totals is not None, "a state without genesis"
    return totals


def put_totals(state: State, totals: Totals) -> None:
    state.write(TOTALS_KEY, totals)


def add_to_totals(state: State, **changes: int) -> None:
    """Add to some of the sums; what becomes negative is a bug, and does not pass the codec of the next block."""
    totals = totals_of(state)
    put_totals(state, replace(totals, **{name: getattr(totals, name) + by for name, by in changes.items() if by}))


def collect_fee(state: State, fee: int) -> None:
    """Add to the fees of the block in progress."""
    totals = totals_of(state)
    put_totals(state, replace(totals, fees=totals.fees + fee))


# ---------------------------------------------------------------------------------------------------- stakeholders


def stakeholder(state: State, address: Address) -> Stakeholder | None:
    """An account's stake, if it has any."""
    return _get(state, stakeholder_key(address), Stakeholder)


def known_stakeholder(state: State, address: Address) -> Stakeholder:
    """The same where another record says that there is one."""
    holder = stakeholder(state, address)
    assert holder is not None, "a record names the stake of an account that has none"
    return holder


def stakeholders(state: State) -> list[tuple[Address, Stakeholder]]:
    """All of them, in address order. For a start and for checks: no block may cost so much."""
    return [
        (Address(key[1:]), codec.decode(raw, Stakeholder, bytes_max=RECORD_BYTES_MAX))
        for key, raw in state.items(STAKEHOLDER_PREFIX)
    ]


def put_stakeholder(state: State, address: Address, before: Stakeholder | None, after: Stakeholder) -> None:
    """Write what became of `before`, with its candidate's record and the counts. One with nothing left goes."""
    put_stakeholders(state, [(address, before, after)])


def put_stakeholders(state: State, written: Iterable[tuple[Address, Stakeholder | None, Stakeholder]]) -> None:
    """The same of several, nobody twice. All of a set may be due at once; so the list of them is written once."""
    due: dict[Address, bool] = {}
    for address, before, after in written:
        if _is_gone(after):
            state.set(stakeholder_key(address), None)
            state.set(_MISSES + address, None)
        else:
            _put(state, stakeholder_key(address), after)
        _put_candidate(state, address, None if before is None else _candidate(before), _candidate(after))
        _count(state, before, after)
        is_due = after.suspension == 0 and not _is_gone(after)
        if is_due != (before is not None and before.suspension == 0):
            due[address] = is_due
    if due:
        _note_due(state, due)


def _is_gone(holder: Stakeholder) -> bool:
    return not (holder.staked or holder.unbonding or holder.is_out or any(seat.stake for seat in holder.seats))


def _put_candidate(state: State, address: Address, before: Candidate | None, after: Candidate | None) -> None:
    if after is not None and after != before:
        _put(state, _CANDIDATE + address, after)
    elif after is None and before is not None:
        state.set(_CANDIDATE + address, None)


def _candidate(holder: Stakeholder) -> Candidate | None:
    bonded = 0 if holder.is_out else holder.bonded
    if not bonded and not holder.newest_seat:
        return None
    may_be_away = holder.suspension is not None or holder.pause is not None
    return Candidate(bonded, holder.newest_seat, may_be_away, holder.is_away)


def _note_due(state: State, changes: Mapping[Address, bool]) -> None:
    others = (address for address in due_suspensions(state) if address not in changes)
    due = tuple(sorted((*others, *(address for address, is_due in changes.items() if is_due))))
    if due:
        _put(state, _DUE, due)
    else:
        state.set(_DUE, None)


def _count(state: State, before: Stakeholder | None, after: Stakeholder) -> None:
    old, new = (0, 0, 0) if before is None else _counts(before), _counts(after)
    if old != new:
        stakers, candidates, bonded = (by - was for was, by in zip(old, new, strict=True))
        add_to_totals(state, stakers=stakers, candidates=candidates, bonded=bonded)


def _counts(holder: Stakeholder) -> tuple[int, int, int]:
    return int(holder.staked > 0), int(holder.is_candidate), holder.bonded * holder.is_candidate


def due_suspensions(state: State) -> tuple[Address, ...]:
    """In address order."""
    return _get(state, _DUE, tuple[AddressField, ...]) or ()


def candidates(state: State) -> list[tuple[Address, Candidate]]:
    """In address order."""
    return [
        (Address(key[1:]), codec.decode(raw, Candidate, bytes_max=RECORD_BYTES_MAX))
        for key, raw in state.items(_CANDIDATE)
    ]


# ---------------------------------------------------------------------------------------------------- keys


def owner_of(state: State, key: PublicKey) -> Address | None:
    """Whose validator key it is or was."""
    raw = state.get(_OWNER + key)
    return None if raw is None else Address(raw)


def put_owner(state: State, key: PublicKey, address: Address) -> None:
    state.set(_OWNER + key, address)


# ---------------------------------------------------------------------------------------------------- misses


def misses_of(state: State, address: Address) -> Misses | None:
    return _get(state, _MISSES + address, Misses)


def put_misses(state: State, address: Address, misses: Misses | None) -> None:
    if misses is None:
        state.set(_MISSES + address, None)
    else:
        _put(state, _MISSES + address, misses)


# ---------------------------------------------------------------------------------------------------- queues


def waiting_queue(state: State) -> Queue:
    return _get(state, _WAITING, Queue) or Queue()


def join_waiting(state: State, address: Address) -> int:
    """The ticket that a new waiting entry of this account has."""
    queue = waiting_queue(state)
    state.set(_WAITING + _number(queue.next), address)
    _put(state, _WAITING, Queue(queue.first, queue.next + 1))
    return queue.next


def ticket_owner(state: State, ticket: int) -> Address:
    raw = state.get(_WAITING + _number(ticket))
    assert raw is not None, "a ticket that nobody has"
    return Address(raw)


def leave_waiting(state: State, queue: Queue, first: int) -> None:
    """The tickets before `first` have been served."""
    for ticket in range(queue.first, first):
        state.set(_WAITING + _number(ticket), None)
    if first != queue.first:
        _put(state, _WAITING, Queue(first, queue.next))


def leaving_queue(state: State) -> Queue:
    return _get(state, _LEAVING, Queue) or Queue()


def join_leaving(state: State, leavers: list[Leaver]) -> None:
    if not leavers:
        return
    queue = leaving_queue(state)
    for number, leaver in enumerate(leavers, queue.next):
        _put(state, _LEAVING + _number(number), leaver)
    _put(state, _LEAVING, Queue(queue.first, queue.next + len(leavers)))


def leaver_at(state: State, number: int) -> Leaver:
    leaver = _get(state, _LEAVING + _number(number), Leaver)
    assert leaver is not None, "a number in the queue that nobody has"
    return leaver


def leave_leaving(state: State, queue: Queue, first: int) -> None:
    """Those before `first` have been paid out."""
    for number in range(queue.first, first):
        state.set(_LEAVING + _number(number), None)
    if first != queue.first:
        _put(state, _LEAVING, Queue(first, queue.next))


# ---------------------------------------------------------------------------------------------------- heights


def changes_at(state: State, height: int) -> Changes | None:
    """Whose place in the set changes at `height`."""
    return _get(state, _CHANGES + _number(height), Changes)


def put_changes(state: State, height: int, changes: Changes | None) -> None:
    if changes is None:
        state.set(_CHANGES + _number(height), None)
    else:
        _put(state, _CHANGES + _number(height), changes)


def pauses_ending_at(state: State, height: int) -> tuple[Address, ...]:
    """In address order."""
    return _get(state, _PAUSE_ENDS + _number(height), tuple[AddressField, ...]) or ()


def note_pause_end(state: State, height: int, address: Address) -> None:
    _put(state, _PAUSE_ENDS + _number(height), tuple(sorted((*pauses_ending_at(state, height), address))))


def forget_pause_ends(state: State, height: int) -> None:
    state.set(_PAUSE_ENDS + _number(height), None)


def touch(state: State, address: Address) -> None:
    """This block changed what the account has at stake: the set has to be made anew."""
    state.set(_TOUCHED, b"\xc3")
    state.set(_TOUCHED + address, address)


def touched(state: State) -> tuple[Address, ...]:
    """In address order."""
    if state.get(_TOUCHED) is None:
        return ()
    return tuple(Address(key[1:]) for key, _ in state.items(_TOUCHED) if len(key) > 1)


def forget_touched(state: State, addresses: tuple[Address, ...]) -> None:
    for key in (b"", *addresses):
        state.set(_TOUCHED + key, None)


# ---------------------------------------------------------------------------------------------------- bytes


def _get(state: State, key: bytes, form: type[_R]) -> _R | None:
    raw = state.get(key)
    return None if raw is None else codec.decode(raw, form, bytes_max=RECORD_BYTES_MAX)


def _put(state: State, key: bytes, record: object) -> None:
    state.set(key, codec.encode(record))


def _number(value: int) -> bytes:
    return value.to_bytes(8, "big")
