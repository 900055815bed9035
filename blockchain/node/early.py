"""What a peer says of a height before it is begun here (docs/protocol.md §8.4 rule 14).

Who is done with a height a moment before its peers goes on to the next, and does not wait for their word that they are
there too. What it says then cannot be verified here: the validators of a height are known when the one before is final.
So a few small frames of each peer are kept as they came, and handled when the height begins. All that the peers of a
node may have said by then can be two seconds of signatures: it is handled some at a time, and who has said little is
heard first.
"""

from __future__ import annotations

from typing import Final

EARLY_FRAMES_MAX: Final = 16  # of a peer: a proposal, a few votes, and what it passes on of others
EARLY_FRAME_BYTES_MAX: Final = 4_096  # a small block, or some twenty votes
EARLY_BYTES_MAX: Final = 16_384  # of a peer: 2 MiB of 128
EARLY_BYTES_AT_ONCE: Final = 16_384  # of all that is handled; then other inputs have their turn: some hundred votes


def may_be_kept(frame: bytes) -> bool:
    """Whether it is small enough."""
    return len(frame) <= EARLY_FRAME_BYTES_MAX


class EarlyFrames:
    """What one peer has said of the next height. No peer takes the room of another."""

    def __init__(self) -> None:
        self._frames: list[bytes] = []
        self._bytes = 0
        self._has_dropped = False

    @property
    def size(self) -> int:
        """In bytes, of all the frames that are kept."""
        return self._bytes

    def keep(self, frame: bytes | None) -> None:
        """Keep a frame until it is taken, where there is room for it; None is one that may not be kept."""
        if frame is None or len(self._frames) >= EARLY_FRAMES_MAX or self._bytes + len(frame) > EARLY_BYTES_MAX:
            self._has_dropped = True
            return
        self._frames.append(frame)
        self._bytes += len(frame)

    def take_loss(self) -> bool:
        """Whether one was not kept since this was last asked."""
        has_dropped, self._has_dropped = self._has_dropped, False
        return has_dropped

    def take(self) -> list[bytes]:
        """All of them, in the order in which they came."""
        frames, self._frames, self._bytes = self._frames, [], 0
        return frames
