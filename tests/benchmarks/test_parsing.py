"""What the benchmarks' client reads of HTTP, and what they read of processes."""

from __future__ import annotations

import pytest

from benchmarks.cpu import read_ps_time, read_stat, tree_seconds
from benchmarks.raw_http import Answer, get, post, read_answer

ANSWER = b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


def test_an_answer_is_read_when_it_is_whole_and_no_byte_of_the_next() -> None:
    received = bytearray()
    for byte in ANSWER[:-1]:
        received.append(byte)
        assert read_answer(received) is None
    received += ANSWER[-1:] + b"HTTP"
    assert read_answer(received) == Answer(202, b"{}")
    assert received == b"HTTP"


def test_an_answer_without_a_length_is_an_error() -> None:
    with pytest.raises(ValueError, match="not found"):
        read_answer(bytearray(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"))


def test_requests_are_whole() -> None:
    assert post("/a/", b"xyz") == (
        b"POST /a/ HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/msgpack\r\ncontent-length: 3\r\n\r\nxyz"
    )
    assert get("/b/") == b"GET /b/ HTTP/1.1\r\nhost: localhost\r\n\r\n"


def test_a_line_of_proc_is_read_behind_whatever_the_name_holds() -> None:
    line = "7 (a) b (c) S 3 7 7 0 -1 4194560 1 0 0 0 250 30 4 1 20 0 8 0 12345 1 2"
    assert read_stat(line) == (3, 285.0)


def test_what_ps_prints_is_seconds() -> None:
    assert [read_ps_time(text) for text in ("0:01.25", "12:30", "1:00:01", "2-01:00:00")] == [
        1.25,
        750.0,
        3_601.0,
        176_400.0,
    ]


def test_a_process_counts_with_all_that_it_started_and_once() -> None:
    table = {1: (0, 100.0), 5: (1, 1.0), 6: (5, 2.0), 7: (6, 4.0), 8: (1, 50.0)}
    assert tree_seconds(table, [5]) == 7.0
    assert tree_seconds(table, [5, 6]) == 7.0
    with pytest.raises(KeyError):
        tree_seconds(table, [9])
