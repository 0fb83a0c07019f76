"""Amounts between Python and the core: exact, and anything that is not exact is refused."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_UP, Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtxconn.core.fixed import decimal_round_trip, quantize_decimal
from qtxconn.errors import AmountError

decimals = st.builds(
    lambda units, scale: Decimal(units).scaleb(-scale),
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.integers(0, 18),
)


@given(decimals)
def test_every_decimal_of_the_range_comes_back_equal(value: Decimal) -> None:
    assert decimal_round_trip(value) == value
    assert decimal_round_trip(str(value)) == value
    assert decimal_round_trip(f"{value:f}") == value


@pytest.mark.parametrize(
    "value",
    [0.1, 1.0, float("nan"), np.float64(0.1), np.float32(0.1), True, None, 1 + 2j, b"1", [1], object(),
     Decimal("NaN"), Decimal("Infinity"), Decimal("sNaN"), "", "1 ", "0x1", "1,0", "\u0661", "\ud800", "1\x00"],
    ids=repr,
)  # fmt: skip
def test_what_is_not_an_exact_number_is_refused(value: object) -> None:
    with pytest.raises(AmountError, match=r"float|pass a Decimal|not a decimal number"):
        decimal_round_trip(value)


@pytest.mark.parametrize("value", [2**63, -(2**63), 10**30, "1e-19", "0.1234567890123456789", Decimal("1e56")])
def test_what_does_not_fit_is_refused_and_never_wrapped(value: object) -> None:
    with pytest.raises(AmountError, match="cannot be held exactly"):
        decimal_round_trip(value)


def is_held(value: Decimal) -> bool:
    """Whether 64 bits hold its digits once trailing zeros are dropped."""
    exponent = value.normalize().as_tuple().exponent
    return abs(value.scaleb(max(0, -int(exponent)))) < 2**63


@given(
    st.integers(-(10**12), 10**12),
    st.integers(0, 8),
    st.integers(1, 10**6),
    st.integers(0, 8),
    st.sampled_from([("down", ROUND_DOWN), ("up", ROUND_UP), ("floor", ROUND_FLOOR), ("ceiling", ROUND_CEILING)]),
)
def test_quantising_is_what_decimal_says(
    units: int, scale: int, step: int, step_scale: int, mode: tuple[str, str]
) -> None:
    value, increment = Decimal(units).scaleb(-scale), Decimal(step).scaleb(-step_scale)
    with localcontext(prec=60):
        # Whole increments in exact integers: Decimal's own division would round.
        shift = 10 ** max(scale, step_scale)
        number, divisor = int(value * shift), int(increment * shift)
        count = (
            (Decimal(number) / divisor).to_integral_value(rounding=mode[1]) if number % divisor else number // divisor
        )
        expected = Decimal(int(count)) * increment
        if not is_held(expected):
            with pytest.raises(AmountError, match="cannot be held"):
                quantize_decimal(value, increment, mode[0])
        else:
            assert quantize_decimal(value, increment, mode[0]) == expected


def test_bad_increments_and_modes_are_named() -> None:
    for increment in ("0", "-0.1"):
        with pytest.raises(AmountError, match="increment must be positive"):
            quantize_decimal("1", increment, "down")
    with pytest.raises(ValueError, match="none of down, up, floor, ceiling"):
        quantize_decimal("1", "1", "nearest")
    with pytest.raises(AmountError, match="cannot be held"):
        quantize_decimal("9223372036854775807", "2", "up")


def test_a_result_that_fits_is_found_even_where_its_count_of_increments_does_not() -> None:
    assert quantize_decimal(92233720369, "1e-8", "down") == 92233720369
    assert quantize_decimal("9223372036854775807", "0.1", "up") == 9223372036854775807
