"""Two handshakes back to back over a fake wire, and everything that somebody in between may try."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockchain.errors import ChannelClosed, HandshakeFailed
from blockchain.primitives.codec import encode
from blockchain.primitives.crypto import SigningKey
from blockchain.runtime.handshake import (
    AGENT_BYTES_MAX,
    HANDSHAKE_FRAME_BYTES_MAX,
    WIRE_VERSION,
    Handshake,
    Hello,
    Identity,
    Peer,
    Proof,
    Role,
)

GENESIS = b"\x11" * 32
ALICE = Identity(SigningKey(b"a" * 32), GENESIS, "alice.example:8010", "blockchain/0.1.0")
BOB = Identity(SigningKey(b"b" * 32), GENESIS, "", "")
EVE = Identity(SigningKey(b"e" * 32), GENESIS, "", "")

Tamper = Callable[[int, bytes], bytes]  # the number of the frame on the wire, and the frame


def dialler(identity: Identity = ALICE, expected_id: bytes | None = None) -> Handshake:
    return Handshake(Role.DIALLER, identity, b"\x01" * 32, b"\x02" * 32, expected_id)


def listener(identity: Identity = BOB) -> Handshake:
    return Handshake(Role.LISTENER, identity, b"\x03" * 32, b"\x04" * 32)


def untouched(_: int, frame: bytes) -> bytes:
    return frame


def recorder(wire: list[bytes]) -> Tamper:
    def record(_: int, frame: bytes) -> bytes:
        wire.append(frame)
        return frame

    return record


def shake(one: Handshake, other: Handshake, tamper: Tamper = untouched) -> None:
    """Carry frames to and fro until both are done; the listener welcomes. Raises what a side raises."""
    carried = 0
    while not (one.is_done and other.is_done):
        if other.peer is not None and not other.is_done:
            toward_one: tuple[bytes, ...] = (other.welcome(),)
        else:
            toward_one = other.send()
        toward_other = one.send()
        assert toward_one or toward_other, "both wait for ever"
        for frame in toward_other:
            other.receive(tamper(carried, frame))
            carried += 1
        for frame in toward_one:
            one.receive(tamper(carried, frame))
            carried += 1


def connected() -> tuple[Handshake, Handshake]:
    one, other = dialler(), listener()
    shake(one, other)
    return one, other


def failure(action: Callable[[], object]) -> HandshakeFailed:
    with pytest.raises(HandshakeFailed) as caught:
        action()
    return caught.value


def test_both_learn_who_the_other_is_and_what_it_says_of_itself() -> None:
    one, other = connected()
    assert one.peer == Peer(BOB.node_key.public_key, "", "")
    assert other.peer == Peer(ALICE.node_key.public_key, "alice.example:8010", "blockchain/0.1.0")


def test_messages_go_both_ways_in_order() -> None:
    one, other = connected()
    frames = [one.channel.seal(b"%d" % number) for number in range(100)]
    assert [other.channel.open(frame) for frame in frames] == [b"%d" % number for number in range(100)]
    assert one.channel.open(other.channel.seal(b"")) == b""


def test_nothing_of_a_message_or_of_an_introduction_is_in_clear() -> None:
    one, other = dialler(), listener()
    wire: list[bytes] = []
    shake(one, other, recorder(wire))
    wire.append(one.channel.seal(b"attack at dawn"))
    assert not any(secret in frame for frame in wire for secret in (b"attack", b"alice.example", b"blockchain/"))


def test_other_chain_is_refused_by_both_with_both_named() -> None:
    one, other = dialler(), listener(replace(BOB, genesis_hash=b"\x22" * 32))
    (hello,) = one.send()
    error = failure(lambda: other.receive(hello))
    assert (error.reason, error.why) == (
        "other_chain",
        "this node is on chain 2222222222222222, the peer on chain 1111111111111111",
    )
    (answer,) = other.send()  # given after the refusal, so that the dialler can say why as well
    error = failure(lambda: one.receive(answer))
    assert error.reason == "other_chain"
    assert "1111111111111111, the peer on chain 2222222222222222" in error.why


@pytest.mark.parametrize("tail", [b"", b"more than this version has"])
def test_other_version_is_refused_with_both_named_whatever_else_it_holds(tail: bytes) -> None:
    later = Hello(WIRE_VERSION + 1, GENESIS, bytes(32), bytes(32), bytes(32)).to_bytes() + tail
    other = listener()
    error = failure(lambda: other.receive(later))
    why = f"this node speaks version {WIRE_VERSION}, the peer version {WIRE_VERSION + 1}"
    assert (error.reason, error.why) == ("other_version", why)
    assert len(other.send()) == 1


def test_a_stolen_id_is_found_out() -> None:
    """Eve says Bob's id in her hello; she has not his key."""
    one, eve = dialler(), listener(EVE)
    _replace_hello(eve, node_id=BOB.node_key.public_key)
    eve.receive(one.send()[0])
    hello, proof = eve.send()
    one.receive(hello)
    assert failure(lambda: one.receive(proof)).reason == "bad_proof"
    assert one.send() == ()  # Eve does not get Alice's proof, to use it elsewhere


def test_a_dialler_with_a_stolen_id_is_found_out() -> None:
    eve, other = dialler(EVE), listener()
    _replace_hello(eve, node_id=ALICE.node_key.public_key)
    other.receive(eve.send()[0])
    for frame in other.send():
        eve.receive(frame)
    assert failure(lambda: other.receive(eve.send()[0])).reason == "bad_proof"
    assert other.peer is None


class PassesOn(Handshake):
    """Proves with what another has signed."""

    proof = b""

    def _build_proof(self) -> bytes:
        return self.proof


def test_who_stands_in_between_with_keys_of_its_own_is_found_out() -> None:
    """Eve opens a channel with each side under the other's id and nonce, and passes on what one proves to the other."""
    one, other = dialler(), listener()
    (hello,) = one.send()
    for_other = Handshake(Role.DIALLER, EVE, b"\x05" * 32, b"\x06" * 32)
    _replace_hello(for_other, node_id=ALICE.node_key.public_key, nonce=hello[102:134])
    other.receive(for_other.send()[0])
    answer, proof = other.send()
    for_other.receive(answer)
    for_one = PassesOn(Role.LISTENER, EVE, b"\x07" * 32, b"\x08" * 32)
    for_one.proof = for_other.channel.open(proof)
    _replace_hello(for_one, node_id=BOB.node_key.public_key, nonce=answer[102:134])
    for_one.receive(hello)
    answer, proof = for_one.send()
    one.receive(answer)
    assert failure(lambda: one.receive(proof)).reason == "bad_proof"


def test_one_that_was_not_dialled_is_refused() -> None:
    error = failure(lambda: shake(dialler(expected_id=EVE.node_key.public_key), listener()))
    assert error.reason == "other_id"
    assert EVE.node_key.public_key[:8].hex() in error.why
    shake(dialler(expected_id=BOB.node_key.public_key), listener())


def test_the_own_id_is_refused_on_both_sides() -> None:
    one, other = dialler(), listener(ALICE)
    (hello,) = one.send()
    assert failure(lambda: other.receive(hello)).reason == "own_id"
    (answer,) = other.send()
    assert failure(lambda: one.receive(answer)).reason == "own_id"


def test_a_reflected_hello_is_ones_own() -> None:
    one = dialler()
    (hello,) = one.send()
    assert failure(lambda: one.receive(hello)).reason == "own_id"


def test_a_reflected_proof_proves_nothing() -> None:
    """Eve mirrors Alice's key and nonce under Bob's id, and sends Alice's frames back to her."""
    one = dialler()
    hello = one.send()[0]
    one.receive(hello[:38] + BOB.node_key.public_key + hello[70:])
    assert failure(lambda: one.receive(one.channel.seal(b"anything"))).reason == "bad_frame"


def test_a_proof_under_the_tag_of_the_other_role_is_refused() -> None:
    """The right key, the right transcript, a frame that opens: only the tag is the listener's."""
    one, other = dialler(), listener()
    other.receive(one.send()[0])
    for frame in other.send():
        one.receive(frame)
    signature = ALICE.node_key.sign(one._signed_by(Role.LISTENER))
    twin = dialler()  # a channel of the same keys whose first frame is not spent
    twin.receive(_hello_of(listener()))
    frame = twin.channel.seal(encode(Proof(signature, "", "")))
    assert failure(lambda: other.receive(frame)).reason == "bad_proof"


def test_who_is_not_admitted_is_refused_on_both_sides() -> None:
    only_bob = frozenset({BOB.node_key.public_key})
    assert failure(lambda: shake(dialler(EVE), listener(replace(BOB, admitted=only_bob)))).reason == "not_admitted"
    assert failure(lambda: shake(dialler(replace(ALICE, admitted=only_bob)), listener(EVE))).reason == "not_admitted"
    shake(dialler(replace(ALICE, admitted=only_bob)), listener())


@pytest.mark.parametrize("garbage", [b"", b"GET / HTTP/1.1", bytes(134), b"\x89p2p"])
def test_garbage_before_the_hello_gets_no_answer(garbage: bytes) -> None:
    other = listener()
    assert failure(lambda: other.receive(garbage)).reason == "not_hello"
    assert other.send() == ()


def test_garbage_after_the_hello_ends_it_for_good() -> None:
    one, other = dialler(), listener()
    other.receive(one.send()[0])
    for frame in other.send():
        one.receive(frame)
    assert failure(lambda: other.receive(b"garbage")).reason == "bad_frame"
    assert failure(lambda: other.receive(one.send()[0])).reason == "out_of_order"
    assert other.peer is None


def test_a_frame_beyond_the_limit_is_not_looked_at() -> None:
    other = listener()
    assert failure(lambda: other.receive(bytes(HANDSHAKE_FRAME_BYTES_MAX + 1))).reason == "too_long"


def test_the_longest_introduction_fits_the_limit() -> None:
    host = ".".join(["h" * 61] * 4)[:250]
    longest = replace(ALICE, advertised=f"{host}:65535", agent="x" * AGENT_BYTES_MAX)
    one, other = dialler(longest), listener()
    wire: list[bytes] = []
    shake(one, other, recorder(wire))
    assert max(map(len, wire)) <= HANDSHAKE_FRAME_BYTES_MAX
    assert other.peer is not None
    assert other.peer.advertised == f"{host}:65535"


@pytest.mark.parametrize("agent", ["line\nfeed", "ü", "x" * 65, "\x1b[31m"])
def test_a_name_that_would_harm_a_log_is_refused(agent: str) -> None:
    with pytest.raises(ValueError, match="software"):
        dialler(replace(ALICE, agent=agent))
    liar = dialler()
    object.__setattr__(liar, "_identity", replace(ALICE, agent=agent))  # a node that checks nothing
    assert failure(lambda: shake(liar, listener())).reason == "bad_proof"


@pytest.mark.parametrize("advertised", ["nowhere", "host:0", "host:70000", "a b:1", "::1:80", "h:1\n"])
def test_an_address_that_is_none_is_refused(advertised: str) -> None:
    with pytest.raises(ValueError, match="address"):
        dialler(replace(ALICE, advertised=advertised))
    liar = dialler()
    object.__setattr__(liar, "_identity", replace(ALICE, advertised=advertised))
    assert failure(lambda: shake(liar, listener())).reason == "bad_proof"


def test_an_ephemeral_key_of_small_order_is_refused() -> None:
    other = listener()
    hello = Hello(WIRE_VERSION, GENESIS, ALICE.node_key.public_key, bytes(32), bytes(32))
    assert failure(lambda: other.receive(hello.to_bytes())).reason == "bad_key"


def test_a_message_before_the_welcome_is_out_of_order() -> None:
    one, other = dialler(), listener()
    other.receive(one.send()[0])
    for frame in other.send():
        one.receive(frame)
    other.receive(one.send()[0])
    early = other.channel.seal(b"a message")
    assert failure(lambda: one.receive(early)).reason == "out_of_order"


def test_the_dialler_says_nothing_between_proof_and_welcome() -> None:
    one, other = dialler(), listener()
    other.receive(one.send()[0])
    for frame in other.send():
        one.receive(frame)
    other.receive(one.send()[0])
    assert failure(lambda: other.receive(one.channel.seal(b"hasty"))).reason == "out_of_order"


def test_a_listener_can_refuse_after_the_proof_and_say_why() -> None:
    one, other = dialler(), listener()
    other.receive(one.send()[0])
    for frame in other.send():
        one.receive(frame)
    other.receive(one.send()[0])
    error = failure(lambda: one.receive(other.refuse("already connected")))
    assert (error.reason, error.why) == ("refused", "already connected")
    assert not other.is_done
    assert not one.is_done


def test_nobody_is_welcomed_or_refused_before_the_proof_or_twice() -> None:
    one, other = dialler(), listener()
    other.receive(one.send()[0])
    with pytest.raises(AssertionError):
        other.welcome()
    for frame in other.send():
        one.receive(frame)
    other.receive(one.send()[0])
    other.welcome()
    with pytest.raises(AssertionError):
        other.refuse("too late")
    with pytest.raises(AssertionError):
        one.welcome()  # a dialler decides by sending its proof or not


def test_frames_of_another_handshake_do_not_serve() -> None:
    """A whole dialogue recorded and played again to a listener with a fresh nonce and key."""
    one, other = dialler(), listener()
    recorded: list[bytes] = []
    shake(one, other, recorder(recorded))
    hello, _, _, proof, _ = recorded
    again = Handshake(Role.LISTENER, BOB, b"\x05" * 32, b"\x06" * 32)
    again.receive(hello)
    assert failure(lambda: again.receive(proof)).reason == "bad_frame"
    same_key = Handshake(Role.LISTENER, BOB, b"\x03" * 32, b"\x06" * 32)  # even if its key came again
    same_key.receive(hello)
    assert failure(lambda: same_key.receive(proof)).reason == "bad_proof"


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_changing_any_byte_of_any_handshake_frame_is_found(data: st.DataObject) -> None:
    target = data.draw(st.integers(0, 4), label="frame")

    def tamper(number: int, frame: bytes) -> bytes:
        if number != target:
            return frame
        place = data.draw(st.integers(0, len(frame) - 1), label="byte")
        return _flip(frame, place, data.draw(st.integers(1, 255), label="by"))

    one, other = dialler(), listener()
    with pytest.raises(HandshakeFailed):
        shake(one, other, tamper)
    assert not (one.is_done and other.is_done)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_cutting_or_lengthening_any_handshake_frame_is_found(data: st.DataObject) -> None:
    target = data.draw(st.integers(0, 4))

    def tamper(number: int, frame: bytes) -> bytes:
        if number != target:
            return frame
        if data.draw(st.booleans()):
            return frame + data.draw(st.binary(min_size=1, max_size=600))
        return frame[: data.draw(st.integers(0, len(frame) - 1))]

    with pytest.raises(HandshakeFailed):
        shake(dialler(), listener(), tamper)


@given(messages=st.lists(st.binary(max_size=40), min_size=1, max_size=5), data=st.data())
@settings(max_examples=200, deadline=None)
def test_changing_any_byte_of_a_message_closes_the_channel(messages: list[bytes], data: st.DataObject) -> None:
    one, other = connected()
    frames = [one.channel.seal(message) for message in messages]
    target = data.draw(st.integers(0, len(frames) - 1))
    for frame, message in zip(frames[:target], messages[:target], strict=True):
        assert other.channel.open(frame) == message
    place = data.draw(st.integers(0, len(frames[target]) - 1))
    with pytest.raises(ChannelClosed, match="not what the peer sealed"):
        other.channel.open(_flip(frames[target], place, data.draw(st.integers(1, 255))))
    with pytest.raises(ChannelClosed):
        other.channel.open(frames[target])  # the good one comes too late


@pytest.mark.parametrize("order", [(0, 0), (1,), (0, 2)], ids=["repeated", "first left out", "second left out"])
def test_a_frame_at_another_place_does_not_open(order: tuple[int, ...]) -> None:
    one, other = connected()
    frames = [one.channel.seal(b"%d" % number) for number in range(3)]
    *good, bad = order
    for number in good:
        assert other.channel.open(frames[number]) == b"%d" % number
    with pytest.raises(ChannelClosed):
        other.channel.open(frames[bad])


def test_a_frame_sent_back_does_not_open() -> None:
    one, _ = connected()
    with pytest.raises(ChannelClosed):
        one.channel.open(one.channel.seal(b"mine"))


def test_the_final_frame_ends_the_stream_and_says_why() -> None:
    one, other = connected()
    last = one.channel.final("stopping\n" + "x" * 300)
    with pytest.raises(ChannelClosed) as caught:
        other.channel.open(last)
    assert caught.value.why.startswith("stopping?xxx")
    assert len(caught.value.why) == 128
    assert other.channel.is_finished_by_peer
    with pytest.raises(ChannelClosed):
        one.channel.seal(b"more")
    with pytest.raises(ChannelClosed):
        one.channel.final()
    other.channel.final()  # the answer may still leave
    with pytest.raises(ChannelClosed):
        other.channel.open(b"anything")


def test_a_large_message_does_not_stay_in_memory_and_the_next_still_opens() -> None:
    one, other = connected()
    large = bytes(200_000)
    assert other.channel.open(one.channel.seal(large)) == large
    assert other.channel.open(one.channel.seal(b"small")) == b"small"
    assert other.channel._receiving is not None
    assert len(other.channel._receiving._scratch) < 100_000


def _flip(frame: bytes, place: int, by: int) -> bytes:
    return frame[:place] + bytes([frame[place] ^ by]) + frame[place + 1 :]


def _hello_of(handshake: Handshake) -> bytes:
    return handshake._hello.to_bytes()


def _replace_hello(handshake: Handshake, *, node_id: bytes, nonce: bytes | None = None) -> None:
    """Make a handshake lie about its id, and its nonce, as an attacker's software would."""
    before = handshake._hello
    handshake._hello = replace(before, node_id=node_id, nonce=before.nonce if nonce is None else nonce)
    if handshake._outgoing:
        handshake._outgoing[0] = handshake._hello.to_bytes()
