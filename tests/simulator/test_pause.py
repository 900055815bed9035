"""A pause as its owner's account shows it: while it is to come, while it holds, and no longer."""

from __future__ import annotations

from msgspec.structs import replace

from blockchain.node.reader import account_view
from blockchain.node.views import AccountView
from blockchain.wallet import Wallet
from tests.simulator.plays import ALL
from tests.simulator.stage import PARAMETERS, Stage


def test_a_pause_that_is_over_is_not_shown_as_one_to_come() -> None:
    stage = Stage(
        parameters=replace(PARAMETERS, stake_delay=8, pause_blocks_max=2, pause_interval=30, active_share_min_bp=1_000)
    )
    stage.start(*ALL)
    wallet = Wallet(stage.keys[2], stage.spec.hash)
    token = stage.world.submit(0, (wallet.pause(2, 0),))
    assert [result.code for result in stage.world.replies[token]] == [""]
    seen = []
    for height in range(1, 14):
        if height > 1:
            stage.pay(0)
        assert stage.run(20_000, lambda height=height: stage.heads()[0] >= height)  # type: ignore[misc]
        view = look(stage, wallet)
        seen.append((stage.heads()[0] + 1, None if view.pause is None else (view.pause.start, view.pause.until)))
    start, until = 10, 12
    assert seen == [(height, (start, until) if height < until else None) for height in range(2, 15)]


def look(stage: Stage, wallet: Wallet) -> AccountView:
    core = stage.world.nodes[0].core
    assert core is not None
    return account_view(core, wallet.address)
