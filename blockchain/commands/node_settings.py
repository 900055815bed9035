"""What the parts of a node are told of its settings."""

from __future__ import annotations

from typing import Final

from blockchain.api.admin import read_admin_token
from blockchain.api.app import ApiSettings
from blockchain.api.hosts import HostRule
from blockchain.config import NodeConfig
from blockchain.node.checkpoint import Checkpoint, Vouched
from blockchain.node.lookout import Caution
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import Hash32

LOOK_S: Final = 10  # two announcements of another process, so that one may be lost


def api_settings(config: NodeConfig) -> ApiSettings:
    """What the API is told of the settings. Raises ConfigError or KeyFileError for a token that cannot be used."""
    token = None if config.admin_token_file is None else read_admin_token(config.admin_token_file)
    hosts = HostRule.of(config.api_host, config.api_hosts)
    return ApiSettings(hosts=hosts, requests_per_second=config.api_rate, admin_token=token)


def vouched_by(config: NodeConfig) -> Vouched:
    """What the settings say of the chain that is to be trusted."""
    given = config.checkpoint
    checkpoint = None if given is None else Checkpoint(given[0], Hash32(given[1]))
    return Vouched(checkpoint, config.trust_genesis)


def caution_of(config: NodeConfig, spec: ChainSpec) -> Caution:
    """How long a validator listens before it signs, and whether a person says that nobody else does."""
    default_s = 0 if spec.demo else LOOK_S
    look_s = default_s if config.look_s is None else config.look_s
    return Caution(look_ms=look_s * 1_000, sign_anew=config.sign_anew)
