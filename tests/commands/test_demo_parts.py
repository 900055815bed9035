"""The demo's parts without nodes: whether pictures agree, the table, the commands it starts, and busy ports."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from blockchain.cli import EXIT_FAILED, main
from blockchain.commands.demo import check_connected, command_of, demo_nodes
from blockchain.commands.demo_picture import BlockPicture, NodePicture, check_agreement, picture_table, take_picture
from blockchain.demo_chain import GENESIS_ADDRESS, JANE_ADDRESS
from blockchain.primitives.address import format_address
from tests.commands.fake_api import running_api
from tests.commands.test_cli import stderr_line

JANE = format_address(JANE_ADDRESS)
BLOCKS = tuple(
    BlockPicture(f"{height:064x}", height, 2, format_address(GENESIS_ADDRESS) if height < 3 else JANE)
    for height in (1, 2, 3)
)
PICTURE = NodePicture("node_one", 3, 2, BLOCKS, ("ab" * 32,), 1, 2)
OTHER = replace(PICTURE, name="node_two", peers=1)


def test_the_same_three_blocks_and_one_pending_agree() -> None:
    assert check_agreement([PICTURE, OTHER]) == ""


@pytest.mark.parametrize("stale", [replace(PICTURE, height=2), replace(PICTURE, ready=2)])
def test_a_status_from_before_the_last_block_does_not_agree_yet(stale: NodePicture) -> None:
    """Else the table would show a height that does not fit the blocks beside it."""
    assert check_agreement([stale, OTHER]) != ""


@pytest.mark.parametrize(
    ("picture", "why"),
    [
        (replace(OTHER, blocks=BLOCKS[:2], height=2), "node_two holds 2 blocks, not 3"),
        (replace(OTHER, blocks=(*BLOCKS, replace(BLOCKS[2], height=4)), height=4), "node_two holds 4 blocks, not 3"),
        (replace(OTHER, blocks=(*BLOCKS[:2], replace(BLOCKS[2], transactions=1))), "block 3 has 1 transaction, not 2"),
        (replace(OTHER, pending=()), "0 transactions pending, not 1"),
        (replace(OTHER, pending=("ab" * 32, "cd" * 32)), "2 transactions pending"),
        (replace(OTHER, pending=("cd" * 32,)), "another pending transaction"),
        (replace(OTHER, blocks=(*BLOCKS[:2], replace(BLOCKS[2], id="f" * 64))), "holds other blocks than node_one"),
    ],
)
def test_what_is_not_the_same_is_said(picture: NodePicture, why: str) -> None:
    assert why in check_agreement([PICTURE, picture])


def test_connected_means_that_the_first_knows_all_and_each_somebody() -> None:
    third = replace(OTHER, name="node_three")
    assert check_connected([PICTURE, OTHER, third]) == ""
    assert check_connected([replace(PICTURE, peers=1), OTHER, third]) == "node_one has 1 of 2 peers"
    assert check_connected([PICTURE, OTHER, replace(third, peers=0)]) == "node_three has 0 of 1 peers"


def test_the_table_has_a_row_a_node() -> None:
    heading, _, one, two = picture_table([PICTURE, OTHER]).splitlines()
    assert heading.split()[:2] == ["node", "height"]
    assert "node_one" in one and "genesis" in one and "jane" in one and "pool holds 1 of 2" in one
    assert two.replace("node_two", "node_one") == one


def test_a_picture_is_what_the_api_says() -> None:
    with running_api(pending=1) as (url, node):
        picture = take_picture("x", url, 10)
        pending = node.pool[0].id.hex()
    assert (picture.height, picture.peers, picture.pending) == (3, 1, (pending,))
    assert (picture.ready, picture.threshold) == (1, 2)
    assert [(block.height, block.transactions) for block in picture.blocks] == [(1, 2), (2, 2), (3, 2)]


def test_the_nodes_are_started_as_the_readme_says() -> None:
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    for node in demo_nodes(8010, 8050):
        assert f"python run_node.py {' '.join(command_of(node))}\n" in readme


def test_a_busy_port_is_one_line_and_starts_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = main(["demo", "--once", f"--first_node_port={port}"])
    assert code == EXIT_FAILED
    assert f"port {port} on localhost is already in use" in stderr_line(capsys)
