"""What reads the documentation's examples sees what is wrong with them."""

from __future__ import annotations

import pytest

from tests.page import blocks, commands, differences, rows, says, shape

TEXT = """# A page

```console
$ curl -s \\
    http://localhost/$NAME
{"a": 1}
$ B=2
```

## Things

| A | B |
|---|---|
| `x` | 1 |
| y | 2 |

After it.
"""


def test_a_block_knows_its_line_and_its_commands() -> None:
    (block,) = blocks(TEXT)
    assert (block.language, block.line) == ("console", 4)
    first, second = commands(block)
    assert first.words({"NAME": "alice"}) == ["curl", "-s", "http://localhost/alice"]
    assert (first.answer, first.line) == ('{"a": 1}', 4)
    assert (second.text, second.answer, second.line) == ("B=2", "", 7)
    with pytest.raises(KeyError):
        first.words({})


def test_a_table_ends_where_the_text_goes_on() -> None:
    assert rows(TEXT, "Things") == [["`x`", "1"], ["y", "2"]]


@pytest.mark.parametrize(
    "expected, found",
    [
        ("…", {"a": 1}),
        ('{"a": 1}', {"a": 1}),
        ('{"a": "…"}', {"a": "anything"}),
        ('{"a": "pos1…"}', {"a": "pos1xyz"}),
        ('{"a": …}', {"a": None}),
        ('{"a": 1, …}', {"a": 1, "b": 2}),
        ('{…, "a": 1}', {"a": 1, "b": 2}),
        ("[1, …]", [1, 2, 3]),
        ("[{…}]", [{"a": 1}]),
        ('{"a": [], "b": true}', {"a": [], "b": True}),
    ],
)
def test_what_fits(expected: str, found: object) -> None:
    assert differences(shape(expected), found) == []


@pytest.mark.parametrize(
    "expected, found",
    [
        ('{"a": 1}', {"a": 2}),
        ('{"a": 1}', {"a": True}),
        ('{"a": 1}', {"a": 1, "b": 2}),
        ('{"a": 1, …}', {"b": 2}),
        ('{"a": "…"}', {"a": 1}),
        ('{"a": "pos1…"}', {"a": "abc"}),
        ("[1]", [1, 2]),
        ("[1, 2, …]", [1]),
        ("[{…}]", [1]),
        ("[]", {}),
    ],
)
def test_what_does_not_fit(expected: str, found: object) -> None:
    assert len(differences(shape(expected), found)) == 1


def test_what_is_printed() -> None:
    assert says("A=…\nb", "A=1\nb\n")
    assert says("a\n…", "a\nb\nc")
    assert says("a\n…\nd", "a\nd")
    assert not says("A=…", "A=1\nb")
    assert not says("a", "ab")
