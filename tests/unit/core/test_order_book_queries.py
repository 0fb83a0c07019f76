"""What a taker would get: every query against plain fractions, and never an answer that a thin book cannot give."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtxconn.core.book_types import OrderBookQueryResult
from qtxconn.core.order_book import OrderBook
from qtxconn.errors import AmountError

BIDS = [("100.5", "1.2"), ("100.4", "3"), ("100", "0.1")]
ASKS = [("100.7", "0.5"), ("100.9", "2")]


@pytest.fixture
def book() -> OrderBook:
    book = OrderBook("BTC-USDT", "0.1", "0.1")
    book.apply_snapshot(BIDS, ASKS, 10, 1000)
    return book


def test_price_and_vwap_for_a_volume(book: OrderBook) -> None:
    assert book.get_price_for_volume(True, "0.5").result_price == Decimal("100.7")
    assert book.get_price_for_volume(True, "0.51").result_price == Decimal("100.9")
    assert book.get_price_for_volume(True, "2.5") == (None, Decimal("2.5"), Decimal("100.9"), Decimal("2.5"), True)
    assert book.get_price_for_volume(False, "4.3").result_price == Decimal(100)
    assert book.get_vwap_for_volume(True, "0.5").result_price == Decimal("100.7")
    assert book.get_vwap_for_volume(True, "1") == (None, Decimal(1), Decimal("100.8"), Decimal(1), True)
    assert book.get_vwap_for_volume(True, "0.51").result_price == Decimal("51.359") / Decimal("0.51")


def test_volume_for_a_price(book: OrderBook) -> None:
    assert book.get_volume_for_price(True, "100.6") == (Decimal("100.6"), None, None, Decimal(0), True)
    assert book.get_volume_for_price(True, "100.85") == (
        Decimal("100.85"), None, Decimal("100.7"), Decimal("0.5"), True
    )  # fmt: skip
    assert book.get_volume_for_price(False, "100.4").result_volume == Decimal("4.2")
    assert book.get_volume_for_price(False, "100.35").result_price == Decimal("100.4")
    assert book.get_volume_for_price(True, "1e16").result_volume == Decimal("2.5")
    assert book.get_volume_for_price(False, "1e18").result_volume == 0


def test_quote_volume_for_a_price_is_an_amount_of_quote_and_not_of_base(book: OrderBook) -> None:
    """Hummingbot's connector method of this name returns the base volume."""
    base = book.get_volume_for_price(True, "101")
    quote = book.get_quote_volume_for_price(True, "101")
    assert base.result_volume == Decimal("2.5")
    assert quote == (Decimal(101), None, Decimal("100.9"), Decimal("252.15"), True)
    assert book.get_quote_volume_for_price(False, "100.4").result_volume == Decimal("421.8")


def test_quote_volume_for_a_base_amount(book: OrderBook) -> None:
    answer = book.get_quote_volume_for_base_amount(True, "1")
    assert answer == (None, Decimal(1), Decimal("100.9"), Decimal("100.8"), True)
    assert book.get_quote_volume_for_base_amount(False, "0.0001").result_volume == Decimal("0.01005")


def test_price_vwap_and_base_amount_for_a_quote_volume(book: OrderBook) -> None:
    assert book.get_price_for_quote_volume(True, "50.35").result_price == Decimal("100.7")
    assert book.get_price_for_quote_volume(True, "50.36").result_price == Decimal("100.9")
    assert book.get_base_amount_for_quote_volume(True, "50.35").result_volume == Decimal("0.5")
    assert book.get_base_amount_for_quote_volume(True, "100.8").result_volume == 1
    assert book.get_vwap_for_quote_volume(True, "100.8") == (
        None,
        Decimal("100.8"),
        Decimal("100.8"),
        Decimal("100.8"),
        True,
    )
    assert book.get_vwap_for_quote_volume(False, "10").result_price == Decimal("100.5")


VOLUME_QUERIES = ("get_price_for_volume", "get_vwap_for_volume", "get_quote_volume_for_base_amount")
QUOTE_QUERIES = ("get_price_for_quote_volume", "get_vwap_for_quote_volume", "get_base_amount_for_quote_volume")


@pytest.mark.parametrize("name", VOLUME_QUERIES + QUOTE_QUERIES)
def test_a_book_that_is_too_thin_says_so_and_what_it_has(book: OrderBook, name: str) -> None:
    ask = getattr(book, name)
    for wanted in ("1000", "1e17", Decimal("9e17")):
        answer: OrderBookQueryResult = ask(True, wanted)
        assert answer.result_price is None
        assert not answer.complete
        in_base = name.endswith("for_volume") or name.startswith("get_base")
        assert answer.result_volume == Decimal("2.5" if in_base else "252.15")
    assert getattr(OrderBook("A-B", "1", "1"), name)(True, 1)[2:] == (None, Decimal(0), False)
    for refused in ("0", "-1", "NaN", "inf", 1.5):
        with pytest.raises(AmountError):
            ask(True, refused)


def test_sums_do_not_depend_on_the_decimal_context(book: OrderBook) -> None:
    with localcontext() as context:
        context.prec = 3
        assert book.get_quote_volume_for_price(False, "1").result_volume == Decimal("431.8")
        assert book.get_quote_volume_for_base_amount(True, "2.5").result_volume == Decimal("252.15")


def test_sums_too_large_for_the_core_are_an_error_and_large_ones_are_not() -> None:
    book = OrderBook("A-B", "1", "1")
    size = 9 * 10**17
    book.apply_snapshot([(size + n, size) for n in range(300)], [], 1)
    with pytest.raises(AmountError, match="add up to more"):
        book.get_quote_volume_for_price(False, 1)
    assert book.get_volume_for_price(False, size).result_volume == 300 * size
    assert book.get_quote_volume_for_base_amount(False, size).result_volume == (size + 299) * size


class Level(NamedTuple):
    price: int  # of 0.05
    amount: int  # of 0.002


sides = st.lists(
    st.builds(Level, st.integers(1, 4000), st.integers(1, 500)), max_size=90, unique_by=lambda level: level.price
)


def take(levels: list[tuple[Fraction, Fraction]], is_enough: object) -> tuple[Fraction, Fraction, Fraction | None]:
    """(base, quote, worst price or None) of the levels until `is_enough(base, quote, price) -> part of the level`."""
    base = quote = Fraction(0)
    for price, amount in levels:
        part = is_enough(base, quote, price, amount)  # type: ignore[operator]
        if part is not None:
            return base + part, quote + part * price, price
        base, quote = base + amount, quote + amount * price
    return base, quote, None


def near(value: Decimal, exact: Fraction) -> bool:
    """A quotient is rounded to the context's 28 digits, and nothing else is."""
    return abs(Fraction(value) - exact) <= abs(exact) / 10**26


@given(sides, st.booleans(), st.integers(1, 10**7), st.integers(0, 4100))
def test_every_query_agrees_with_fractions(
    side: list[Level], is_buy: bool, wanted_units: int, limit_units: int
) -> None:
    book = OrderBook("A-B", "0.05", "0.002")
    entries = [(level.price * Decimal("0.05"), level.amount * Decimal("0.002")) for level in side]
    book.apply_snapshot([] if is_buy else entries, entries if is_buy else [], 1)
    levels = sorted(((Fraction(p), Fraction(a)) for p, a in entries), reverse=not is_buy)
    wanted, limit = Decimal(wanted_units).scaleb(-4), limit_units * Decimal("0.025") * 2 + Decimal("0.01")
    exact = Fraction(wanted)

    base, quote, worst = take(levels, lambda b, q, p, a: exact - b if b + a >= exact else None)
    answer = book.get_price_for_volume(is_buy, wanted)
    assert (answer.result_price, answer.complete) == (worst, worst is not None)
    assert Fraction(answer.result_volume) == base
    assert Fraction(book.get_quote_volume_for_base_amount(is_buy, wanted).result_volume) == quote
    mean = book.get_vwap_for_volume(is_buy, wanted).result_price
    assert mean is None if worst is None else near(mean, quote / base)

    base, quote, worst = take(levels, lambda b, q, p, a: (exact - q) / p if q + a * p >= exact else None)
    answer = book.get_price_for_quote_volume(is_buy, wanted)
    assert (answer.result_price, answer.complete) == (worst, worst is not None)
    assert Fraction(answer.result_volume) == quote
    assert near(book.get_base_amount_for_quote_volume(is_buy, wanted).result_volume, base)
    mean = book.get_vwap_for_quote_volume(is_buy, wanted).result_price
    assert mean is None if worst is None else near(mean, quote / base)

    inside = [(p, a) for p, a in levels if (p <= limit if is_buy else p >= limit)]
    answer = book.get_volume_for_price(is_buy, limit)
    assert Fraction(answer.result_volume) == sum(a for _, a in inside)
    assert answer.result_price == (inside[-1][0] if inside else None)
    assert Fraction(book.get_quote_volume_for_price(is_buy, limit).result_volume) == sum(p * a for p, a in inside)
