"""Which connection counts with each peer: at most one, and both sides agree which
(docs/protocol.md §8.2).

A link enters here when its peer has proved its node id, before it is up. The rules:

* The dialler gives up a dial when it finds that it has a link with that peer already: nothing is replaced by
  a dial.
* The listener keeps what it has only against a simultaneous dial, when its own node id is the smaller one: the
  connection that the smaller id dialled stays. In all other cases the newcomer replaces the old link: an honest
  peer that still had the old one would not have gone on dialling, so it has lost it, by a restart or a broken
  network. A link older than any handshake lasts cannot be part of a simultaneous dial.

When A < B dial each other, A finds its own dial entered and refuses B's; B lets A's replace its own. When B's
came through first, A finds it and gives up its own. No order of events leaves both; one that leaves neither takes a
connection that breaks in the middle, and the next dial mends it.
"""

from __future__ import annotations

from typing import Final

from blockchain.errors import HandshakeFailed
from blockchain.runtime.link import Link

ALREADY_CONNECTED: Final = "already connected"


class DuplicateConnection(HandshakeFailed):
    """There is another connection with this peer, and that one stays."""

    def __init__(self, peer_id: bytes, remote: str) -> None:
        super().__init__("duplicate", ALREADY_CONNECTED)
        self.peer_id = peer_id
        self.remote = remote  # the IP address of the connection that is given up


class Roster:
    """The links by peer; bounded by the inbound connections and the dials that are allowed."""

    def __init__(self, own_id: bytes, handshake_s: float) -> None:
        self._own_id = own_id
        self._handshake_s = handshake_s
        self._links: dict[bytes, Link] = {}

    def find(self, peer_id: bytes) -> Link | None:
        return self._links.get(peer_id)

    def links(self) -> tuple[Link, ...]:
        return tuple(self._links.values())

    def enter_dialled(self, link: Link) -> None:
        """Enter a link that this node dialled; raises DuplicateConnection when there is one with that peer."""
        if link.peer.id in self._links:
            raise DuplicateConnection(link.peer.id, link.remote)
        self._links[link.peer.id] = link

    def enter_accepted(self, link: Link) -> None:
        """Enter a link that the peer dialled, and end the one that it replaces, if there is one.

        Raises DuplicateConnection when the present one stays.
        """
        present = self._links.get(link.peer.id)
        if present is not None and self._stays(present, link):
            raise DuplicateConnection(link.peer.id, link.remote)
        self._links[link.peer.id] = link
        if present is not None:
            link.replaces = present
            present.end("replaced by a newer connection of the same peer")

    def leave(self, link: Link) -> None:
        """Forget a link that is over; one that was replaced is forgotten already."""
        if self._links.get(link.peer.id) is link:
            del self._links[link.peer.id]

    def _stays(self, present: Link, newcomer: Link) -> bool:
        is_simultaneous = not present.is_inbound and newcomer.since - present.since < self._handshake_s
        return is_simultaneous and self._own_id < newcomer.peer.id
