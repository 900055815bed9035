"""Single values are refused by name."""

from __future__ import annotations

import pytest

from blockchain.errors import InvalidTransaction
from blockchain.primitives.address import format_address
from blockchain.primitives.scalars import INTEGER_MAX
from blockchain.primitives.values import check_address, check_bytes, check_integer


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (True, "amount_not_integer"),
        (False, "amount_not_integer"),
        (1.0, "amount_not_integer"),
        (float("nan"), "amount_not_integer"),
        ("1", "amount_not_integer"),
        (None, "amount_not_integer"),
        ([1], "amount_not_integer"),
        (-1, "amount_negative"),
        (0, "amount_zero"),
        (INTEGER_MAX + 1, "amount_too_large"),
    ],
)
def test_what_is_no_amount_is_refused_by_name(value: object, code: str) -> None:
    with pytest.raises(InvalidTransaction) as caught:
        check_integer("amount", value, minimum=1)
    assert caught.value.code == code
    assert "amount" in caught.value.why


def test_a_number_too_long_to_print_is_refused_like_others() -> None:
    with pytest.raises(InvalidTransaction) as caught:
        check_integer("amount", 10**5000)
    assert caught.value.code == "amount_too_large"


@pytest.mark.parametrize("value", [1, 2, INTEGER_MAX])
def test_an_amount_passes(value: int) -> None:
    assert check_integer("amount", value, minimum=1) == value


def test_zero_passes_where_it_means_something() -> None:
    assert check_integer("fee", 0) == 0


ADDRESS = bytes(range(32))


@pytest.mark.parametrize("value", [ADDRESS, ADDRESS.hex(), ADDRESS.hex().upper(), format_address(ADDRESS)])
def test_an_address_in_each_of_its_forms(value: object) -> None:
    assert check_address("recipient", value) == ADDRESS


@pytest.mark.parametrize("value", [b"", ADDRESS[:31], "", "pos1qqq", format_address(ADDRESS)[:-1] + "q", 5, None])
def test_what_is_no_address_is_refused(value: object) -> None:
    with pytest.raises(InvalidTransaction) as caught:
        check_address("recipient", value)
    assert caught.value.code == "recipient_invalid"


@pytest.mark.parametrize("value", [b"\x01\x02", "0102"])
def test_bytes_in_both_forms(value: object) -> None:
    assert check_bytes("signature", value, 2) == b"\x01\x02"


@pytest.mark.parametrize("value", ["01", "zz00", "01 2", b"\x01", 258, "٠١٠٢", None])
def test_other_bytes_are_refused(value: object) -> None:
    with pytest.raises(InvalidTransaction) as caught:
        check_bytes("signature", value, 2)
    assert caught.value.code == "signature_invalid"
