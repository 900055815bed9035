"""The rooms of one node, joined: each is given those that it reads, and none knows who drives it.

What the engine says goes out through `agreement.py`, what peers say comes in through `heard.py`; `core.py` drives both.
"""

from __future__ import annotations

from blockchain.consensus.bft import BftEngine
from blockchain.genesis import ENGINES
from blockchain.ledger.smt_build import HERE, Builders
from blockchain.node.admission import Admission
from blockchain.node.announcements import Announcements
from blockchain.node.bodies import OUTLINED_MIN, Bodies
from blockchain.node.chain import Chain
from blockchain.node.checkpoint import UNVOUCHED, Vouched
from blockchain.node.connected import Connected
from blockchain.node.exchange import Exchange
from blockchain.node.fresh import PassingOn
from blockchain.node.gossip import Gossip
from blockchain.node.liveness import Liveness
from blockchain.node.lookout import CAREFUL, Caution, Lookout
from blockchain.node.outlines import Outlines
from blockchain.node.relay import Relay
from blockchain.node.surroundings import Surroundings
from blockchain.node.sync import Sync
from blockchain.node.timeline import Timeline
from blockchain.node.trust import Trust
from blockchain.node.whereabouts import Whereabouts
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import PublicKey
from blockchain.seams import Store


class Rooms:
    """One chain of one node. `keys` are the validator keys that it holds; without one it follows and does not vote."""

    def __init__(
        self,
        spec: ChainSpec,
        store: Store,
        keys: frozenset[PublicKey],
        vouched: Vouched = UNVOUCHED,
        caution: Caution = CAREFUL,
        builders: Builders = HERE,
        outlined_min: int = OUTLINED_MIN,
    ) -> None:
        selection = ENGINES[spec.engine](spec.hash)
        self.chain = Chain(spec, selection, store, vouched.checkpoint, builders)
        self.trust = Trust(self.chain, store, vouched)
        self.liveness = Liveness()
        self.engine = BftEngine(
            self.chain, selection.forgers, self.chain.genesis_hash, spec.parameters, keys, self.liveness.is_offline
        )
        self.peers = Connected(self.chain.genesis_hash)
        self.bodies = Bodies(self.chain, self.engine, outlined_min)
        self.gossip = Gossip(self.chain, self.engine, self.peers, self.bodies)
        self.relay = Relay(self.chain, self.peers, self.bodies)
        self.outlines = Outlines(self.chain, self.engine, self.relay, self.bodies)
        self.sync = Sync(self.chain, self.engine, self.peers, store)
        self.passing_on = PassingOn(self.relay, self.peers)
        self.admission = Admission(self.chain, self.relay, self.passing_on, store)
        self.lookout = Lookout(self.chain, self.engine, self.sync, store, keys, caution)
        self.exchange = Exchange()
        self.surroundings = Surroundings(self.peers, spec.parameters.clock_drift_ms)
        self.announcements = Announcements(spec.parameters.clock_drift_ms)
        self.timeline = Timeline(lambda: self.chain.validators, self.liveness.is_offline)
        self.whereabouts = Whereabouts(self.gossip, self.peers, self.engine)
        self.keys = keys
