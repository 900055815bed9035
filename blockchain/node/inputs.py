"""What the core takes: the seams' inputs, and what became of a peer's frame when it was verified."""

from __future__ import annotations

from msgspec import Struct

from blockchain.errors import PeerFault
from blockchain.node.messages import Verified
from blockchain.seams import (
    DialledBack,
    PeerConnected,
    PeerDisconnected,
    PeerId,
    PeerMet,
    Signed,
    SignerLost,
    SignerRegained,
    SignRefused,
    Started,
    TimerFired,
    TransactionsSubmitted,
    VrfProved,
    VrfRefused,
)


class BlocksArrived(Struct, frozen=True):
    """The bytes of blocks are here, and wait to be verified: how long that takes is not this peer's doing."""

    peer: PeerId


class MessageReceived(Struct, frozen=True):
    """A verified message of a connected peer."""

    peer: PeerId
    message: Verified


class MessageFaulty(Struct, frozen=True):
    """A frame that did not verify: what the peer answers for."""

    peer: PeerId
    fault: PeerFault


Input = (
    Started
    | BlocksArrived
    | MessageReceived
    | MessageFaulty
    | TransactionsSubmitted
    | PeerConnected
    | PeerDisconnected
    | PeerMet
    | DialledBack
    | TimerFired
    | Signed
    | VrfProved
    | SignRefused
    | VrfRefused
    | SignerLost
    | SignerRegained
)
