"""Requests of one client: a bucket for each, in a table with an end."""

from __future__ import annotations

import pytest

from blockchain.api import rate
from blockchain.api.app import ApiSettings, create_app
from blockchain.api.rate import ClientBuckets, RequestRate
from tests.api.asking import ask_app, check_problem
from tests.api.fake_node import FakeNode


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_and_then_an_even_pace() -> None:
    clock = Clock()
    buckets = ClientBuckets(per_second=2, burst=4, clock=clock)
    assert [buckets.take("a") for _ in range(4)] == [0.0] * 4
    assert buckets.take("a") == 0.5
    clock.now += 0.5
    assert buckets.take("a") == 0.0
    assert buckets.take("a") == 0.5
    clock.now += 1_000
    assert [buckets.take("a") for _ in range(5)] == [0.0] * 4 + [0.5]


def test_clients_do_not_pay_for_each_other() -> None:
    buckets = ClientBuckets(per_second=1, burst=1, clock=Clock())
    assert buckets.take("192.0.2.1") == 0.0
    assert buckets.take("192.0.2.1") > 0
    assert buckets.take("192.0.2.2") == 0.0


def test_looking_takes_nothing() -> None:
    buckets = ClientBuckets(per_second=1, burst=1, clock=Clock())
    assert [buckets.wait("a") for _ in range(3)] == [0.0] * 3
    assert buckets.take("a") == 0.0
    assert buckets.wait("a") == 1.0


def test_the_table_forgets_who_was_quiet_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate, "CLIENTS_MAX", 2)
    buckets = ClientBuckets(per_second=1, burst=1, clock=Clock())
    for client in ("a", "b", "a", "c"):
        buckets.take(client)
    assert len(buckets) == 2
    assert buckets.wait("a") > 0
    assert buckets.wait("b") == 0.0  # forgotten: it begins anew


def test_one_request_too_many_is_told_when_to_come_again() -> None:
    node = FakeNode()
    app = RequestRate(create_app(node), ClientBuckets(per_second=1, burst=2, clock=Clock()))
    answers = [ask_app(app, "/api/v1/status/") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    asked = node.asked
    refused = ask_app(app, "/api/v1/status/", headers={"X-Forwarded-For": "198.51.100.1"})
    check_problem(refused, 429, "too_many_requests")
    assert refused.headers["retry-after"] == "1"
    assert node.asked == asked
    assert ask_app(app, "/livez", client="192.0.2.8").status_code == 200


def test_the_setting_is_the_pace_of_the_application() -> None:
    app = create_app(FakeNode(), ApiSettings(requests_per_second=1))
    assert any(ask_app(app, "/livez").status_code == 429 for _ in range(100))
