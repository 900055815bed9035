"""The handshake of the side that dials, with a peer that sends whatever it likes."""

from __future__ import annotations

from blockchain.runtime.handshake import Role
from tests.fuzz import shaking
from tests.fuzz.target import Target

TARGET = Target(shaking.samples, shaking.player(Role.DIALLER), shaking.MUTATION, bytes_max=2_048)
