"""A key in another process: over real sockets, asked by one node or two, lost and regained, and by who has no right."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from blockchain.consensus.lottery import vrf_alpha
from blockchain.errors import SignerUnreachable, SigningRefused
from blockchain.primitives import codec, vrf
from blockchain.primitives.crypto import Address, Hash32, PublicKey, SigningKey
from blockchain.primitives.vote import Announcement, Proposal, Signable, Vote, VoteStep, sign_message, verify_message
from blockchain.runtime import remote_signer, signer_service
from blockchain.runtime.handshake import PEERS, SIGNERS, Wire
from blockchain.runtime.p2p import P2P
from blockchain.runtime.peer_events import DialFailed, FrameReceived, P2PLimits, PeerDown, PeerEvent, PeerUp
from blockchain.runtime.remote_signer import RemoteSigner, SignerAnswer, SignerPlace
from blockchain.runtime.signer import Signer
from blockchain.runtime.signer_messages import (
    MESSAGE_BYTES_MAX,
    Answered,
    Asked,
    Describe,
    Description,
    ProofGiven,
    Refused,
    SignatureGiven,
    SignMessage,
)
from blockchain.runtime.signer_service import REQUESTS_MAX, Pace, SignerService
from blockchain.runtime.signing import Signing
from blockchain.seams import (
    ProveVrf,
    Sign,
    Signed,
    SignerLost,
    SignerRegained,
    SigningRecord,
    SignRefused,
    VrfProved,
    VrfRefused,
)
from tests.runtime.scenarios import run, until

CHAIN = Hash32(b"\x0c" * 32)
KEY = SigningKey(b"\x01" * 32)
ME = Address(KEY.public_key)
OWN = SigningKey(b"\x21" * 32)  # names the signer
NODE, OTHER, STRANGER = (SigningKey(bytes([seed]) * 32) for seed in (0x31, 0x32, 0x33))
NODES = frozenset(bytes(one.public_key) for one in (NODE, OTHER))
A, B = Hash32(b"\xaa" * 32), Hash32(b"\xbb" * 32)
SEED = Hash32(b"\x05" * 32)
HOST = "127.0.0.1"
QUICK = changed(remote_signer.LIMITS, retry_first_s=0.01, retry_max_s=0.02, close_s=0.5)


def vote(height: int, value: Hash32 | None = A) -> Vote:
    return Vote(height, 0, VoteStep.PREVOTE, value, -1, ME)


def asked(message: Signable) -> Sign:
    return Sign(message, KEY.public_key)


def prove(height: int) -> ProveVrf:
    return ProveVrf(height, 0, SEED, KEY.public_key)


def given(message: Signable, key: SigningKey = KEY) -> Signed:
    return Signed(sign_message(message, key, CHAIN))


class Place:
    """A key with its record, and where it listens: any free port at first, and that one from then on."""

    def __init__(self, folder: Path, key: SigningKey = KEY) -> None:
        self.record = folder / "record"
        self.key = key
        self.port = 0

    def signer(self) -> Signer:
        return Signer(self.key, CHAIN, self.record)

    @asynccontextmanager
    async def listening(
        self, signer: Signing | None = None, admitted: frozenset[bytes] = NODES, limits: P2PLimits | None = None
    ) -> AsyncIterator[SignerService]:
        limits = changed(limits or signer_service.LIMITS, close_s=0.5)
        held = signer or self.signer()
        service = SignerService(held, OWN, CHAIN, (HOST, self.port), admitted, limits)
        await service.start()
        self.port = service.p2p.port
        try:
            yield service
        finally:
            await service.stop()

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"


class Client:
    """A remote signer as a node uses it, and the inputs that it gave."""

    def __init__(self, place: Place, node: SigningKey = NODE, **options: Any) -> None:
        at = SignerPlace(place.address, options.pop("signer_id", bytes(OWN.public_key)))
        self.inputs: asyncio.Queue[SignerAnswer] = asyncio.Queue()
        self.remote = RemoteSigner(at, node, options.pop("chain", CHAIN), limits=QUICK, **options)

    async def ask(self, request: Sign | ProveVrf) -> SignerAnswer:
        self.remote.ask(request)
        return await self.inputs.get()

    async def next(self, kind: type[Any]) -> Any:
        """The next input, which has to be of this kind."""
        answer = await self.inputs.get()
        assert isinstance(answer, kind), answer
        return answer


@asynccontextmanager
async def connected(place: Place, node: SigningKey = NODE, **options: Any) -> AsyncIterator[Client]:
    client = Client(place, node, **options)
    try:
        await client.remote.open(30)
        client.remote.begin(client.inputs.put_nowait)
        yield client
    finally:
        await client.remote.stop()


async def unreachable(place: Place, why: str, node: SigningKey = NODE, **options: Any) -> None:
    """See that a signer does not become usable, and that this reason is told."""
    client = Client(place, node, **options)
    opening = asyncio.create_task(client.remote.open(found_s=60))
    try:
        await until(lambda: why in client.remote._why)
        with pytest.raises(SignerUnreachable, match=why) as caught:
            await client.remote.open(found_s=0)
        assert place.address in str(caught.value)
    finally:
        opening.cancel()
        await client.remote.stop()
        await asyncio.gather(opening, return_exceptions=True)


class Gate(Signer):
    """A signer that signs at once and gives the signature when it is let."""

    def __init__(self, record: Path) -> None:
        super().__init__(KEY, CHAIN, record)
        self.opened, self.signed = threading.Event(), threading.Event()

    def sign(self, message: Signable) -> Signable:
        signed = super().sign(message)
        self.signed.set()
        self.opened.wait(20)
        return signed


# ------------------------------------------------------------------------------------------------ asking


def test_it_signs_and_proves_and_its_answers_come_as_inputs(tmp_path: Path) -> None:
    async def scenario() -> None:
        place = Place(tmp_path)
        async with place.listening(), connected(place) as client:
            assert client.remote.public_key == KEY.public_key
            assert client.remote.load() == SigningRecord(KEY.public_key, is_new=True)
            announcement = Announcement(ME, 7, 1_000)
            proposal = Proposal(1, 0, -1, A, ME)
            for message in (announcement, proposal, vote(1)):
                assert await client.ask(asked(message)) == given(message)
            assert client.remote.load().message == given(vote(1)).message
            proved = await client.ask(prove(4))
            assert isinstance(proved, VrfProved) and (proved.height, proved.round) == (4, 0)
            vrf.verify(KEY.public_key, vrf_alpha(CHAIN, SEED, 4), proved.proof)
        assert place.signer().load().message == given(vote(1)).message

    run(scenario())


def test_many_requests_are_answered_in_their_order(tmp_path: Path) -> None:
    async def scenario() -> None:
        place = Place(tmp_path)
        async with place.listening(), connected(place) as client:
            for height in range(1, 21):
                client.remote.ask(asked(vote(height)))
            assert [await client.inputs.get() for _ in range(20)] == [given(vote(height)) for height in range(1, 21)]

    run(scenario())


def test_its_record_decides_and_the_reason_comes_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        place = Place(tmp_path)
        async with place.listening(), connected(place) as client:
            await client.ask(asked(vote(2)))
            refused = await client.ask(asked(vote(2, B)))
            assert isinstance(refused, SignRefused) and "has signed another message" in refused.why
            assert await client.ask(asked(vote(2))) == given(vote(2)), "the same one again, and the link is up"

    run(scenario())


def test_two_nodes_of_one_signer_cannot_make_it_contradict_itself(tmp_path: Path) -> None:
    async def scenario() -> None:
        place = Place(tmp_path)
        async with place.listening(), connected(place) as one, connected(place, OTHER) as other:
            assert await one.ask(asked(vote(1))) == given(vote(1))
            assert isinstance(await other.ask(asked(vote(1, B))), SignRefused)
            assert await other.ask(asked(vote(1))) == given(vote(1))
            assert await other.ask(asked(vote(2, B))) == given(vote(2, B))
            assert isinstance(await one.ask(asked(vote(2))), SignRefused)

    run(scenario())


def test_more_than_may_wait_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_signer, "WAITING_MAX", 1)

    async def scenario() -> None:
        place = Place(tmp_path)
        gate = Gate(place.record)
        async with place.listening(gate), connected(place) as client:
            client.remote.ask(asked(vote(1)))
            refused = await client.ask(prove(1))
            assert isinstance(refused, VrfRefused) and "wait already" in refused.why
            gate.opened.set()
            assert await client.inputs.get() == given(vote(1))

    run(scenario())


# ------------------------------------------------------------------------------------------------ who may ask


@pytest.mark.parametrize("admitted", [frozenset(), frozenset({bytes(OTHER.public_key)})])
def test_who_is_not_admitted_gets_no_word_and_an_empty_list_admits_nobody(
    tmp_path: Path, admitted: frozenset[bytes]
) -> None:
    async def scenario() -> None:
        place = Place(tmp_path)
        async with place.listening(admitted=admitted):
            await unreachable(place, "not_admitted")

    run(scenario())


def test_a_node_of_another_chain_or_one_that_means_another_signer_is_turned_away(tmp_path: Path) -> None:
    async def scenario() -> None:
        place = Place(tmp_path)
        async with place.listening():
            await unreachable(place, "other_chain", chain=Hash32(b"\x0d" * 32))
            await unreachable(place, "other_id", signer_id=bytes(STRANGER.public_key))

    run(scenario())


class Asker:
    """Connects as a node does, and says whatever a test wants."""

    def __init__(self, wire: Wire = SIGNERS) -> None:
        self.events: asyncio.Queue[PeerEvent] = asyncio.Queue()
        self.p2p = P2P(
            node_key=NODE,
            genesis_hash=CHAIN,
            listen_host=HOST,
            listen_port=0,
            advertise=None,
            limits=changed(QUICK, message_bytes_max=10 * MESSAGE_BYTES_MAX, retry_first_s=60, retry_max_s=60),
            events=self.events,
            log=remote_signer._LOG,
            wire=wire,
        )

    async def until(self, kind: type[Any]) -> Any:
        while not isinstance(event := await self.events.get(), kind):
            pass
        return event

    async def said(self, data: bytes) -> Answered:
        self.p2p.send(bytes(OWN.public_key), data)
        frame = await self.until(FrameReceived)
        return codec.decode(frame.data, Answered, bytes_max=MESSAGE_BYTES_MAX)


def test_a_peer_of_the_network_is_not_one_of_the_signer(tmp_path: Path) -> None:
    """Whoever is admitted: what opens a connection between peers opens none to a signer, and the other way round."""

    async def scenario() -> None:
        place, peer = Place(tmp_path), Asker(PEERS)
        async with place.listening():
            peer.p2p.dial(place.address)
            failed = await peer.until(DialFailed)
            assert "not_hello" in failed.why
        await peer.p2p.start()
        place.port = peer.p2p.port
        await unreachable(place, "not_hello")
        await peer.p2p.stop()

    run(scenario())


UNFIT = {
    "nothing": b"",
    "32 bare bytes": bytes(32),
    "a hash to sign": codec.encode((1, ("sign", A))),
    "text to sign": codec.encode((1, ("sign", "sign this"))),
    "a transaction to sign": codec.encode((1, ("sign", (1, ME, 0, 0, None, ("TRANSFER", A, 1), bytes(64))))),
    "another kind": codec.encode((1, ("sign_bytes", bytes(32)))),
    "a seed that is none": codec.encode((1, ("prove", b"short", 1))),
    "an answer": codec.encode(Answered(1, SignatureGiven(given(vote(1)).message.signature))),
    "a request with more in it": codec.encode((1, ("describe", 1))),
    "no array": codec.encode({"sign": bytes(32)}),
}


@pytest.mark.parametrize("said", UNFIT.values(), ids=UNFIT.keys())
def test_whatever_is_no_request_gets_a_refusal_and_never_a_signature(tmp_path: Path, said: bytes) -> None:
    async def scenario() -> None:
        place, asker = Place(tmp_path), Asker()
        async with place.listening():
            asker.p2p.dial(place.address)
            await asker.until(PeerUp)
            answered = await asker.said(said)
            assert answered.id == 0 and isinstance(answered.answer, Refused)
            assert answered.answer.why.startswith("not a request: ")
            again = await asker.said(codec.encode(Asked(1, SignMessage(vote(1)))))
            assert again == Answered(1, SignatureGiven(given(vote(1)).message.signature)), "it goes on"
            await asker.p2p.stop()

    run(scenario())


def test_a_message_that_is_too_long_ends_the_connection(tmp_path: Path) -> None:
    async def scenario() -> None:
        place, asker = Place(tmp_path), Asker()
        async with place.listening():
            asker.p2p.dial(place.address)
            await asker.until(PeerUp)
            asker.p2p.send(bytes(OWN.public_key), bytes(2 * MESSAGE_BYTES_MAX))
            await asker.until(PeerDown)
            await asker.p2p.stop()

    run(scenario())


def test_who_asks_too_much_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signer_service, "REQUESTS_MAX", 2)

    async def scenario() -> None:
        place, asker = Place(tmp_path), Asker()
        async with place.listening():
            asker.p2p.dial(place.address)
            await asker.until(PeerUp)
            for number in range(1, 100):
                asker.p2p.send(bytes(OWN.public_key), codec.encode(Asked(number, Describe())))
            assert "requests in a second" in (await asker.until(PeerDown)).why
            await asker.p2p.stop()

    run(scenario())


def test_a_second_begins_with_its_first_request() -> None:
    pace = Pace()
    assert [pace.is_within(5.0) for _ in range(REQUESTS_MAX + 1)] == [True] * REQUESTS_MAX + [False]
    assert not pace.is_within(5.9)
    assert pace.is_within(6.0)


# ------------------------------------------------------------------------------------------------ losing it


def test_while_it_is_lost_requests_are_refused_at_once_and_it_comes_back_with_its_record(tmp_path: Path) -> None:
    async def scenario() -> None:
        place = Place(tmp_path)
        async with place.listening() as service:
            client = Client(place)
            await client.remote.open(30)
            client.remote.begin(client.inputs.put_nowait)
            await client.ask(asked(vote(1)))
            await service.stop()
            lost = await client.next(SignerLost)
            assert lost.key == KEY.public_key and lost.why
            refused = await client.ask(asked(vote(2)))
            assert isinstance(refused, SignRefused) and "is not there" in refused.why
            assert isinstance(await client.ask(prove(2)), VrfRefused)
        async with place.listening():
            regained = await client.next(SignerRegained)
            assert regained.record.message == given(vote(1)).message
            assert await client.ask(asked(vote(2))) == given(vote(2))
            await client.remote.stop()

    run(scenario())


def test_an_answer_that_is_late_is_not_waited_for_and_shows_in_the_record(tmp_path: Path) -> None:
    async def scenario() -> None:
        place = Place(tmp_path)
        gate = Gate(place.record)
        async with place.listening(gate), connected(place, answer_s=0.2) as client:
            refused = await client.ask(asked(vote(1)))
            assert isinstance(refused, SignRefused) and "no answer within" in refused.why
            await client.next(SignerLost)
            gate.opened.set()
            regained = await client.next(SignerRegained)
            assert regained.record.message == given(vote(1)).message, "it was signed, and is given by the record alone"
            assert client.inputs.empty()
            assert await client.ask(asked(vote(2))) == given(vote(2)), "the answer to this, and to nothing before"

    run(scenario())


def test_all_that_waits_is_refused_when_the_connection_ends(tmp_path: Path) -> None:
    async def scenario() -> None:
        place = Place(tmp_path)
        gate = Gate(place.record)
        async with place.listening(gate) as service, connected(place) as client:
            for request in (asked(vote(1)), prove(1), asked(vote(2))):
                client.remote.ask(request)
            await until(gate.signed.is_set)
            service.p2p.close_peer(bytes(NODE.public_key), "the test says so")
            kinds = [type(await client.inputs.get()) for _ in range(4)]
            assert kinds == [SignRefused, VrfRefused, SignRefused, SignerLost]
            gate.opened.set()

    run(scenario())


def test_a_signer_that_is_not_there_at_the_start_is_told_in_a_line(tmp_path: Path) -> None:
    async def scenario() -> None:
        place = Place(tmp_path)
        async with place.listening():
            pass
        client = Client(place)
        with pytest.raises(SignerUnreachable, match=f"the signer at {place.address} cannot be reached: no answer yet"):
            await client.remote.open(found_s=0)
        await until(lambda: client.remote._why != "no answer yet")
        with pytest.raises(SignerUnreachable) as caught:
            await client.remote.open(found_s=0)
        assert caught.value.why and "\n" not in str(caught.value)
        await client.remote.stop()

    run(scenario())


def test_a_signer_that_comes_back_with_another_key_is_not_used(tmp_path: Path) -> None:
    async def scenario() -> None:
        place = Place(tmp_path)
        async with place.listening() as service:
            client = Client(place)
            await client.remote.open(30)
            client.remote.begin(client.inputs.put_nowait)
            await service.stop()
            await client.next(SignerLost)
        place.key, place.record = SigningKey(b"\x02" * 32), tmp_path / "another"
        async with place.listening():
            await until(lambda: "another key than before" in client.remote._why)
            assert isinstance(await client.ask(asked(vote(1))), SignRefused)
            await client.remote.stop()

    run(scenario())


def test_a_signer_that_comes_back_with_an_older_record_is_not_used(tmp_path: Path) -> None:
    async def scenario() -> None:
        place = Place(tmp_path)
        async with place.listening() as service:
            client = Client(place)
            await client.remote.open(30)
            client.remote.begin(client.inputs.put_nowait)
            await client.ask(asked(vote(1)))
            copy = place.record.read_bytes()
            await client.ask(asked(vote(2)))
            await service.stop()
            await client.next(SignerLost)
        place.record.write_bytes(copy)
        async with place.listening():
            await until(lambda: "older than what it has signed" in client.remote._why)
            assert isinstance(await client.ask(asked(vote(2, B))), SignRefused)
            await client.remote.stop()

    run(scenario())


def test_a_damaged_record_is_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        place = Place(tmp_path)
        place.record.write_bytes(b"damaged")
        async with place.listening():
            await unreachable(place, "is damaged")

    run(scenario())


# ------------------------------------------------------------------------------------------------ a signer that lies


class Liar:
    """Is where the signer should be, and answers as a test says."""

    def __init__(self, *answers: Any) -> None:
        self._answers = iter(answers)
        self.p2p = P2P(
            node_key=OWN,
            genesis_hash=CHAIN,
            listen_host=HOST,
            listen_port=0,
            advertise=None,
            limits=changed(QUICK, close_s=0.5),
            events=self,
            log=remote_signer._LOG,
            wire=SIGNERS,
        )

    async def put(self, event: PeerEvent) -> None:
        if isinstance(event, FrameReceived):
            request = codec.decode(event.data, Asked, bytes_max=MESSAGE_BYTES_MAX)
            answer = DESCRIBED if isinstance(request.request, Describe) else next(self._answers)
            raw = answer if isinstance(answer, bytes) else codec.encode(Answered(request.id, answer))
            self.p2p.send(event.peer_id, raw)


DESCRIBED = Description(KEY.public_key, None, -1, None)
WRONG_KEY = sign_message(vote(1), STRANGER, CHAIN).signature
FOR_ANOTHER = sign_message(vote(1, B), KEY, CHAIN).signature


@pytest.mark.parametrize(
    ("request_", "answer", "why"),
    [
        (asked(vote(1)), SignatureGiven(WRONG_KEY), "a signature that is not good"),
        (asked(vote(1)), SignatureGiven(FOR_ANOTHER), "a signature that is not good"),
        (asked(vote(1)), ProofGiven(bytes(80)), "an answer to another question"),
        (asked(vote(1)), DESCRIBED, "an answer to another question"),
        (prove(1), ProofGiven(bytes(80)), "VRF"),
        (prove(1), ProofGiven(vrf.prove(STRANGER.seed, vrf_alpha(CHAIN, SEED, 1))), "VRF"),
        (asked(vote(1)), b"\x00", "is no answer"),
        (asked(vote(1)), codec.encode(Answered(99, Refused("of whom?"))), "nobody waits for"),
    ],
)
def test_a_wrong_answer_is_a_refusal_and_the_end_of_the_connection(
    request_: Sign | ProveVrf, answer: Any, why: str
) -> None:
    async def scenario() -> None:
        liar = Liar(answer)
        await liar.p2p.start()
        place = Place(Path())
        place.port = liar.p2p.port
        async with connected(place) as client:
            refused = await client.ask(request_)
            assert isinstance(refused, SignRefused | VrfRefused) and why in refused.why
            await client.next(SignerLost)
            await client.next(SignerRegained)
        await liar.p2p.stop()

    run(scenario())


def test_a_description_that_its_key_did_not_sign_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    forged = replace(DESCRIBED, message=replace(vote(9), signature=WRONG_KEY))
    monkeypatch.setitem(globals(), "DESCRIBED", forged)

    async def scenario() -> None:
        liar = Liar()
        await liar.p2p.start()
        place = Place(Path())
        place.port = liar.p2p.port
        await unreachable(place, "does not bear its key's signature")
        await liar.p2p.stop()

    run(scenario())


def test_signatures_are_for_the_chain_of_the_connection(tmp_path: Path) -> None:
    async def scenario() -> None:
        place = Place(tmp_path)
        async with place.listening(), connected(place) as client:
            signed = await client.ask(asked(vote(1)))
            assert isinstance(signed, Signed)
            assert verify_message(signed.message, PublicKey(KEY.public_key), CHAIN)
            assert not verify_message(signed.message, PublicKey(KEY.public_key), A)

    run(scenario())


def test_one_address_cannot_take_all_places_of_those_who_have_not_proved_who_they_are() -> None:
    """Else any host that reaches the signer keeps a node from coming back to it, by connections that say nothing."""
    limits = signer_service.LIMITS
    assert limits.inbound_per_ip_max <= limits.handshakes_max // 2 <= limits.inbound_max // 4


def test_a_signer_that_comes_back_with_another_message_in_the_last_place_is_not_used(tmp_path: Path) -> None:
    """Another process has signed with this key, for this very place: the key contradicts itself already."""

    async def scenario() -> None:
        place = Place(tmp_path)
        async with place.listening() as service:
            client = Client(place)
            await client.remote.open(30)
            client.remote.begin(client.inputs.put_nowait)
            await client.ask(asked(vote(1)))
            await service.stop()
            await client.next(SignerLost)
        place.record = tmp_path / "elsewhere"
        place.signer().sign(vote(1, B))
        async with place.listening():
            await until(lambda: "two different messages are signed for height 1" in client.remote._why)
            assert isinstance(await client.ask(asked(vote(2))), SignRefused)
            await client.remote.stop()

    run(scenario())


def test_a_reason_that_names_a_file_in_no_known_letters_can_be_sent(tmp_path: Path) -> None:
    class Refusing(Signer):
        def load(self) -> SigningRecord:
            raise SigningRefused("the signing record /keys/\udcff/record is damaged")  # how Python names such a file

    raw = codec.encode(Asked(1, Describe()))
    answered = signer_service.answer_to(raw, Refusing(KEY, CHAIN, tmp_path / "record"))
    told = codec.decode(codec.encode(answered), Answered, bytes_max=MESSAGE_BYTES_MAX).answer
    assert told == Refused("the signing record /keys/?/record is damaged")
