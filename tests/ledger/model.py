"""The rules of stake once more, as plainly as they can be said: what the ledger's tests compare it with.

Written from the text of the protocol (§3, §6) alone, by somebody who had not read the ledger: dicts, lists, and a
scan of everything at the end of each block. What the records of such a state are, `model_records` says.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from copy import copy, deepcopy
from dataclasses import dataclass, field
from typing import Any

from blockchain.primitives import vrf
from blockchain.primitives.chain import ChainSpec

WHOLE = 10_000  # basis points
STAKERS_MAX, WAITING_MAX, UNBONDING_MAX, KEYS_MAX, TICKETS_MAX, RELEASES_MAX = 10_000, 16, 16, 64, 1_000, 1_000

Seats = dict[bytes, tuple[bytes, int]]  # address: validator key, stake


class Refused(Exception):
    """A transaction that does not apply; the argument is its code."""


@dataclass
class Unbonding:
    amount: int
    leaves: int
    left_ms: int | None = None


@dataclass
class Staker:
    """One account's `v` and `m`."""

    keys: list[tuple[int, bytes]]
    seats: list[tuple[int, int]] = field(default_factory=list)  # from height, stake: the newest that counts, and later
    bonded: int = 0
    unbonding: list[Unbonding] = field(default_factory=list)
    is_out: bool = False
    suspension: int | None = None  # 0: due
    pause: tuple[int, int] | None = None  # from, until
    missed: list[int] = field(default_factory=list)  # heights, rising


@dataclass
class Waiting:
    owner: bytes
    amount: int
    ticket: int


@dataclass
class Outcome:
    """What the end of a block did; the fields are those of the ledger's settlement."""

    minted: int = 0
    burnt: int = 0
    forger_reward: int = 0
    signer_rewards: dict[bytes, int] = field(default_factory=dict)
    evidence_reward: int = 0
    penalties: list[tuple[bytes, int, bool]] = field(default_factory=list)
    released: list[tuple[bytes, int]] = field(default_factory=list)
    suspended: list[bytes] = field(default_factory=list)
    absent: list[bytes] = field(default_factory=list)


def _newest(seats: list[tuple[int, int]], height: int) -> tuple[int, int] | None:
    return max((seat for seat in seats if seat[0] <= height), default=None)


class Model:
    def __init__(self, spec: ChainSpec) -> None:
        self.rules = spec.parameters
        self.issuer = spec.issuer
        self.balance: dict[bytes, int] = {one.address: one.balance for one in spec.accounts}
        self.nonce: dict[bytes, int] = {}
        self.stakers: dict[bytes, Staker] = {}
        self.owner_of_key: dict[bytes, bytes] = {}
        for one in spec.validators:
            key = one.key or one.address
            self.stakers[one.address] = Staker([(0, bytes(key))], [(0, one.stake)], one.stake)
            self.owner_of_key[bytes(key)] = one.address
        self.waiting: list[Waiting] = []  # oldest first
        self.tickets = (0, 0)  # the first that was not passed yet, and the next
        self.holders: dict[int, bytes] = {}  # of the tickets, those included whose stake is gone
        self.leaving: list[tuple[int, bytes]] = []  # leaves, owner: what unbonds, in the order of leaving
        self.released = 0  # how many have been passed of those
        self.changes: dict[int, set[bytes]] = {}  # height: who changes there
        self.minted = self.held()
        self.burnt = self.fees = 0
        self.eligible, self.inactive = sum(one.stake for one in spec.validators), 0
        self.away: list[bytes] = []  # whom the newest closing granted a pause or suspension
        self.away_before: list[bytes] = []  # the same of the block before
        self.left_out = 0  # how many it kept out for want of room
        self.touched: set[bytes] = set()
        self.added: dict[int, int] = {}  # height: new stake that counts from there
        self.pressed: set[int] = set()  # heights at which somebody came in for whom there was no room
        self.pause_ends: dict[int, set[bytes]] = {}
        first: Seats = {one.address: (bytes(one.key or one.address), one.stake) for one in spec.validators}
        self.sets: list[Seats] = [first] * (2 + self.rules.stake_delay)  # by height

    def held(self) -> int:
        """What there is: balances, and stake in every state."""
        unbonding = sum(each.amount for one in self.stakers.values() for each in one.unbonding)
        bonded = sum(one.bonded for one in self.stakers.values())
        return sum(self.balance.values()) + bonded + unbonding + sum(one.amount for one in self.waiting)

    def waiting_of(self, owner: bytes) -> list[Waiting]:
        return [one for one in self.waiting if one.owner == owner]

    def stake_of(self, owner: bytes) -> int:
        """Bonded and waiting."""
        bonded = self.stakers[owner].bonded if owner in self.stakers else 0
        return bonded + sum(one.amount for one in self.waiting_of(owner))

    def candidates(self) -> list[bytes]:
        """Larger first, then by address."""
        able = [owner for owner, one in self.stakers.items() if one.bonded > 0 and not one.is_out]
        return sorted(able, key=lambda owner: (-self.stakers[owner].bonded, owner))

    def share(self) -> tuple[int, int]:
        """The budget of those who are away, and what one of them may take of it."""
        budget = self.eligible * (WHOLE - self.rules.active_share_min_bp) // WHOLE
        return budget, budget // 3

    # ---------------------------------------------------------------------------------------- transactions

    def apply(
        self, height: int, sender: bytes, nonce: int, fee: int, expiry: int | None, payload: list[Any]
    ) -> str | None:
        """The code of the refusal; None: it was applied."""
        kind, *fields = payload
        try:
            if expiry is not None and height > expiry:
                raise Refused("expired")
            if kind == "EXCHANGE" and sender != self.issuer:
                raise Refused("not_issuer")
            expected = self.nonce.get(sender, 0)
            if nonce != expected:
                raise Refused("nonce_used" if nonce < expected else "nonce_gap")
            takes = {"TRANSFER": lambda: fields[1], "STAKE": lambda: fields[0]}.get(kind, lambda: 0)()
            if self.balance.get(sender, 0) < fee + takes:
                raise Refused("insufficient_balance")
            getattr(self, "_" + kind.lower())(height + 1 + self.rules.stake_delay, sender, *fields)
        except Refused as refusal:
            return str(refusal)
        self.nonce[sender] = nonce + 1
        self.balance[sender] = self.balance.get(sender, 0) - fee
        self.fees += fee
        return None

    def _pay(self, to: bytes, amount: int) -> None:
        self.balance[to] = self.balance.get(to, 0) + amount

    def _transfer(self, _counts: int, sender: bytes, recipient: bytes, amount: int) -> None:
        self._pay(sender, -amount)
        self._pay(recipient, amount)

    def _exchange(self, _counts: int, _sender: bytes, recipient: bytes, amount: int) -> None:
        if self.minted + amount > self.rules.supply_max:
            raise Refused("supply_exceeded")
        self.minted += amount
        self._pay(recipient, amount)

    def _stake(self, counts: int, sender: bytes, amount: int, key: bytes | None, _proof: bytes | None) -> None:
        one = self.stakers.get(sender)
        if one is not None:
            if one.is_out:
                raise Refused("validator_out")
            if key is not None and key != one.keys[-1][1]:
                raise Refused("validator_key_fixed")
        named = bytes(key or sender)
        if one is None:
            if not vrf.is_key(named):
                raise Refused("validator_key_invalid")
            if self.owner_of_key.get(named, sender) != sender:
                raise Refused("validator_key_used")
        if self.stake_of(sender) == 0 and sum(self.stake_of(each) > 0 for each in self.stakers) >= STAKERS_MAX:
            raise Refused("validators_full")
        if self.stake_of(sender) + amount < self.rules.stake_min:
            raise Refused("stake_below_min")
        if len(self.waiting_of(sender)) >= WAITING_MAX:
            raise Refused("waiting_full")
        if one is None:
            self.stakers[sender] = Staker([(counts, named)])
            self.owner_of_key[named] = sender
        self._pay(sender, -amount)
        first, ticket = self.tickets
        self.waiting.append(Waiting(sender, amount, ticket))
        self.tickets, self.holders[ticket] = (first, ticket + 1), sender
        self.touched.add(sender)

    def _unstake(self, leaves: int, sender: bytes, amount: int) -> None:
        one = self.stakers.get(sender)
        if one is None or one.is_out:
            raise Refused("not_validator")
        left = self.stake_of(sender) - amount
        if left < 0:
            raise Refused("stake_insufficient")
        if 0 < left < self.rules.stake_min:
            raise Refused("stake_below_min")
        if self.candidates() == [sender] and left == 0:
            raise Refused("last_validator")
        same = [each for each in one.unbonding if each.leaves == leaves]
        if not same and len(one.unbonding) >= UNBONDING_MAX:
            raise Refused("unbonding_full")
        rest = amount
        for entry in reversed(self.waiting_of(sender)):
            taken = min(rest, entry.amount)
            entry.amount -= taken
            rest -= taken
        self.waiting = [entry for entry in self.waiting if entry.amount > 0]
        one.bonded -= rest
        if one.bonded == 0:
            self.away = [owner for owner in self.away if owner != sender]
        self._unbond(one, amount, leaves)
        self.touched.add(sender)

    def _unbond(self, one: Staker, amount: int, leaves: int) -> None:
        for entry in one.unbonding:
            if entry.leaves == leaves:
                entry.amount += amount
                return
        if amount > 0:
            one.unbonding.append(Unbonding(amount, leaves))

    def _rotate(self, counts: int, sender: bytes, key: bytes, _proof: bytes) -> None:
        one = self.stakers.get(sender)
        if one is None or one.is_out or self.stake_of(sender) == 0:
            raise Refused("not_validator")
        if one.keys[-1][0] > counts - 1 - self.rules.stake_delay:
            raise Refused("rotation_pending")
        if len(one.keys) >= KEYS_MAX:
            raise Refused("rotations_full")
        if not vrf.is_key(key):
            raise Refused("validator_key_invalid")
        if bytes(key) in self.owner_of_key:
            raise Refused("validator_key_used")
        one.keys.append((counts, bytes(key)))
        self.owner_of_key[bytes(key)] = sender
        self.touched.add(sender)

    def _pause(self, begins: int, sender: bytes, blocks: int) -> None:
        one = self.stakers.get(sender)
        if one is None or one.is_out or one.bonded == 0:
            raise Refused("not_validator")
        if one.suspension is not None:
            raise Refused("suspended")
        if blocks > self.rules.pause_blocks_max:
            raise Refused("pause_too_long")
        if one.pause is not None and begins < one.pause[0] + self.rules.pause_interval:
            raise Refused("pause_too_soon")
        budget, share = self.share()
        if one.bonded > share or self.inactive + one.bonded > budget:
            raise Refused("pause_too_large")
        one.pause = (begins, begins + blocks)
        self.pause_ends.setdefault(begins + blocks, set()).add(sender)
        self.inactive += one.bonded
        self.touched.add(sender)

    def _resume(self, counts: int, sender: bytes) -> None:
        one = self.stakers.get(sender)
        is_pausing = one is not None and one.pause is not None and one.pause[1] > counts
        if one is None or (one.suspension is None and not is_pausing):
            raise Refused("not_suspended")
        one.suspension, one.missed = None, []
        if is_pausing and one.pause is not None:
            one.pause = (one.pause[0], counts)
        self.touched.add(sender)

    # ---------------------------------------------------------------------------------------- end of a block

    def finish(
        self, height: int, time_ms: int, forger: bytes, offenders: Collection[bytes], signers: Collection[bytes]
    ) -> Outcome:
        """`signers`: of the parent's certificate in the body. Closes the set of `height` + 1 + `stake_delay`."""
        done = Outcome(burnt=-self.burnt)
        closes = height + 1 + self.rules.stake_delay
        for offender in offenders:
            self._convict(offender, forger, closes, done)
        self._release(height, time_ms, done)
        self._reward(height, forger, signers, done)
        self._count_absent(height, signers, done)
        self._close(height, closes, done)
        done.burnt += self.burnt
        return done

    def _convict(self, offender: bytes, forger: bytes, closes: int, done: Outcome) -> None:
        one = self.stakers[offender]

        def rest(amount: int) -> int:
            return amount - amount * self.rules.slash_bp // WHOLE

        before = self.held()
        remains = rest(one.bonded) + sum(rest(entry.amount) for entry in self.waiting_of(offender))
        self.waiting = [entry for entry in self.waiting if entry.owner != offender]
        one.bonded = 0
        for entry in one.unbonding:
            entry.amount = rest(entry.amount)
        one.unbonding = [entry for entry in one.unbonding if entry.amount > 0]
        self._unbond(one, remains, closes)
        one.is_out, one.pause, one.suspension, one.missed = True, None, None, []
        self.away = [owner for owner in self.away if owner != offender]
        self.touched.add(offender)
        lost = before - self.held()
        reward = 0 if forger == offender else lost * self.rules.evidence_reward_bp // WHOLE
        self._pay(forger, reward)
        self.burnt += lost - reward
        done.evidence_reward += reward
        done.penalties.append((offender, lost, True))

    def _release(self, height: int, time_ms: int, done: Outcome) -> None:
        for owner, one in sorted(self.stakers.items()):
            for entry in one.unbonding:
                if entry.leaves == height:
                    entry.left_ms = time_ms
                    self.leaving.append((height, owner))
        for leaves, owner in self.leaving[self.released :][:RELEASES_MAX]:
            left = [entry for entry in self._unbonding(owner) if entry.leaves == leaves]
            if left and not self._is_over(left[0], height, time_ms):
                break
            self.released += 1
            for entry in left:
                self.stakers[owner].unbonding.remove(entry)
                self._pay(owner, entry.amount)
                done.released.append((owner, entry.amount))
        for owner in self.changes.pop(height, set()) & set(self.stakers):
            one = self.stakers[owner]
            one.seats = [seat for seat in one.seats if seat[0] > height or seat == _newest(one.seats, height)]
        for owner, one in list(self.stakers.items()):
            is_seated = any(owner in seats for seats in self.sets[height:])
            if self.stake_of(owner) == 0 and not one.unbonding and not one.is_out and not is_seated:
                del self.stakers[owner]

    def _unbonding(self, owner: bytes) -> list[Unbonding]:
        return self.stakers[owner].unbonding if owner in self.stakers else []

    def _is_over(self, entry: Unbonding, height: int, time_ms: int) -> bool:
        assert entry.left_ms is not None, "in the queue before it left"
        in_blocks = height > entry.leaves + self.rules.unbonding_blocks
        return in_blocks and time_ms > entry.left_ms + self.rules.unbonding_ms

    def _reward(self, height: int, forger: bytes, signers: Collection[bytes], done: Outcome) -> None:
        new = min(self.rules.reward_per_block, self.rules.supply_max - self.minted)
        self.minted += new
        done.minted = new
        reward, self.fees = self.fees + new, 0
        parents = {address: stake for address, (_, stake) in self.sets[height - 1].items()}
        total = sum(parents.values())
        of_forger = reward * self.rules.reward_forger_bp // WHOLE
        done.forger_reward = of_forger * sum(parents[signer] for signer in signers) // total
        self._pay(forger, done.forger_reward)
        paid = done.forger_reward
        for signer in signers:
            part = (reward - of_forger) * parents[signer] // total
            done.signer_rewards[signer] = part
            self._pay(signer, part)
            paid += part
        self.burnt += reward - paid

    def _window(self) -> int:
        assert self.rules.absence_window is not None
        return self.rules.absence_window

    def _misses_max(self) -> int:
        return self._window() * self.rules.absence_share_bp // WHOLE

    def _count_absent(self, height: int, signers: Collection[bytes], done: Outcome) -> None:
        if height < 2 or self.rules.absence_window is None:
            return
        for address in sorted(self.sets[height - 1]):
            if address not in self.stakers:
                continue
            one = self.stakers[address]
            is_paused = one.pause is not None and one.pause[0] <= height - 1 < one.pause[1]
            if address in signers or one.is_out or one.suspension or is_paused:
                continue
            one.missed = [h for h in [*one.missed, height - 1] if h > height - 1 - self._window()]
            done.absent.append(address)
            if len(one.missed) > self._misses_max() and one.suspension is None:
                one.suspension = 0

    def _close(self, height: int, closes: int, done: Outcome) -> None:
        self.away_before = self.away
        room = self._room(height, closes)
        admitted = self._admit(closes, room)
        asked = bool(self.touched or admitted or closes in self.pause_ends or self.left_out)
        seats = {owner: (self._key_of_seat(owner, closes), stake) for owner, (_, stake) in self.sets[-1].items()}
        room = None if room is None else room - sum(admitted.values())
        if self.candidates() and (asked or self._can_settle_due(height, closes, room)):
            top = self._top(closes, room, admitted)
            seats = self._seats(top, height, closes, done)
        assert len(self.sets) == closes, "one set a height"
        self._note_changes(closes, seats)
        self.sets.append(seats)
        self.touched = set()
        self.pause_ends.pop(closes, None)

    def _note_changes(self, closes: int, seats: Seats) -> None:
        """Whose seat changed, and of the touched those whom the height concerns otherwise."""
        changes = self.changes.setdefault(closes, set())
        for owner, one in self.stakers.items():
            stake = seats[owner][1] if owner in seats else 0
            if stake != (self.sets[-1][owner][1] if owner in self.sets[-1] else 0):
                changes.add(owner)
                one.seats.append((closes, stake))
            has_new_key = owner in seats and one.keys[-1][0] == closes
            is_leaving = any(entry.leaves == closes for entry in one.unbonding)
            if owner in self.touched and (has_new_key or is_leaving or one.is_out):
                changes.add(owner)

    def _room(self, height: int, closes: int) -> int | None:
        """For new stake, in the set that is closed now; None: no bound."""
        step = self.rules.stake_step_max_bp
        if step is None:
            return None
        total = sum(stake for _, stake in self.sets[height].values())
        bonded = sum(self.stakers[owner].bonded for owner in self.candidates())
        return max(0, -(-min(total, bonded or total) * step // WHOLE) - self._joining(closes))

    def _joining(self, closes: int) -> int:
        return sum(self.added.get(h, 0) for h in range(closes - self.rules.stake_delay, closes + 1))

    def _admit(self, closes: int, room: int | None) -> dict[bytes, int]:
        """How much of whose stake left the queue."""
        admitted: dict[bytes, int] = {}
        first, following = self.tickets
        for ticket in range(first, min(following, first + TICKETS_MAX)):
            for entry in self.waiting:
                if entry.ticket == ticket:
                    amount = entry.amount if room is None else min(entry.amount, room - sum(admitted.values()))
                    admitted[entry.owner] = admitted.get(entry.owner, 0) + amount
                    self.stakers[entry.owner].bonded += amount
                    entry.amount -= amount
            if any(entry.ticket == ticket and entry.amount for entry in self.waiting):
                break
            del self.holders[ticket]
            self.tickets = (ticket + 1, following)
        admitted = {owner: amount for owner, amount in admitted.items() if amount}
        self.waiting = [entry for entry in self.waiting if entry.amount > 0]
        self.added[closes] = sum(admitted.values())
        return admitted

    def _top(self, closes: int, room: int | None, admitted: dict[bytes, int]) -> list[bytes]:
        """The largest candidates, less those for whose entering there is no room yet."""
        order, before = self.candidates(), self.sets[-1]
        most = self.rules.validators_max
        top: list[bytes] = []
        out: list[bytes] = []
        for owner in order[:most]:
            need = 0
            if owner not in before and owner not in self.away and room is not None:
                need = self.stakers[owner].bonded - admitted.get(owner, 0)
            if room is not None and need > room and self._joining(closes) > 0:
                out.append(owner)
                continue
            top.append(owner)
            if room is not None and need > room:
                self.pressed.add(closes)
            room = None if room is None else max(0, room - need)
            self.added[closes] += need
        top += [owner for owner in order[most:] if owner in before][: len(out)]
        if not top:
            top, out = out[:1], out[1:]
            self.pressed.add(closes)
            self.added[closes] += self.stakers[top[0]].bonded - admitted.get(top[0], 0)
        self.left_out = len(out)
        return top

    def _drop_due(self, height: int) -> list[bytes]:
        """Whose suspension is due but whose misses have left the window."""
        due = [(owner, one) for owner, one in self.stakers.items() if one.suspension == 0]
        return [owner for owner, one in due if self._recent_misses(one, height) <= self._misses_max()]

    def _can_settle_due(self, height: int, closes: int, room: int | None) -> bool:
        """Whether a closing would drop or grant a suspension that is due, nothing else having changed."""
        if self._drop_due(height):
            return True
        if not any(one.suspension == 0 for one in self.stakers.values()):
            return False
        tried = copy(self)
        tried.stakers, tried.added, tried.pressed = deepcopy(self.stakers), dict(self.added), set()
        tried._seats(tried._top(closes, room, {}), height, closes, Outcome())
        return any(one.suspension == 0 and tried.stakers[owner].suspension != 0 for owner, one in self.stakers.items())

    def _seats(self, top: list[bytes], height: int, closes: int, done: Outcome) -> Seats:
        self.eligible = sum(self.stakers[owner].bonded for owner in top)
        for owner in self._drop_due(height):
            self.stakers[owner].suspension = None
        self.away = self._away(top, closes)
        self.inactive = sum(self.stakers[owner].bonded for owner in self.away)
        for owner in self.away:
            one = self.stakers[owner]
            if one.suspension == 0 and not self._is_pausing(one, closes):
                one.suspension = closes
                loss = one.bonded * self.rules.absence_slash_bp // WHOLE
                one.bonded -= loss
                self.burnt += loss
                done.suspended.append(owner)
                if loss:
                    done.penalties.append((owner, loss, False))
        rest = [owner for owner in top if owner not in self.away]
        return {owner: (self._key(owner, closes), self.stakers[owner].bonded) for owner in rest}

    def _away(self, top: list[bytes], closes: int) -> list[bytes]:
        """Who asked for it or is suspended, as far as the budget goes."""
        stakers: Mapping[bytes, Staker] = self.stakers
        pausing = sorted(owner for owner in top if self._is_pausing(stakers[owner], closes))
        absent = [owner for owner in top if stakers[owner].suspension is not None and owner not in pausing]
        absent.sort(key=lambda owner: (-len(stakers[owner].missed), owner))
        budget, share = self.share()
        away: list[bytes] = []
        for owner in pausing + absent:
            bonded = stakers[owner].bonded
            if bonded <= share and sum(stakers[each].bonded for each in away) + bonded <= budget:
                away.append(owner)
        return away

    def _is_pausing(self, one: Staker, height: int) -> bool:
        return one.pause is not None and one.pause[0] <= height < one.pause[1]

    def _recent_misses(self, one: Staker, height: int) -> int:
        return sum(h > height - 1 - self._window() for h in one.missed)

    def _key_of_seat(self, owner: bytes, height: int) -> bytes:
        return self._key(owner, height) if owner in self.stakers else self.sets[-1][owner][0]

    def _key(self, owner: bytes, height: int) -> bytes:
        return [key for begins, key in self.stakers[owner].keys if begins <= height][-1]
