"""Every recorded Binance payload: read to the values that it shows, or named as one that nothing here reads."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from qtxconn.core.types import FeeRates, FundingInfo, OrderState, Position, PositionSide, TradeType
from qtxconn.errors import MessageError
from qtxconn.exchanges.binance import messages

from .binance_payloads import LEFT, samples
from .test_binance_scanner import FIRST
from .test_binance_scanner import same_end as same_book
from .test_binance_user_scanner import same_end as same_orders

D = Decimal
PAIR = "ABC-XYZ"  # the parsers are told the pair; none is read from a payload
STATES = {"NEW": OrderState.OPEN, "TRIGGERING": OrderState.OPEN, "TRIGGERED": OrderState.OPEN} | {
    "FINISHED": OrderState.OPEN,  # of an algo order: the order that it placed tells the end
    **{name: OrderState[name] for name in ("PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED")},
}


class Kind(NamedTuple):
    """How a payload is read, what it must come to, and the keys that the wire may leave out or have as null."""

    read: Callable[[Any], Any]
    expected: Callable[[Any], Any]
    optional: frozenset[str] = frozenset()
    nullable: frozenset[str] = frozenset()


def rule_values(raw: Any) -> tuple[Any, ...]:
    rule = messages.parse_trading_rule(raw)
    return (
        (rule.trading_pair, rule.exchange_symbol, rule.buy_order_collateral_token, rule.sell_order_collateral_token),
        (rule.min_order_size, rule.max_order_size, rule.min_base_amount_increment),
        (rule.min_price, rule.max_price, rule.min_price_increment),
        (rule.min_notional_size, rule.max_num_orders, rule.supports_limit_orders, rule.supports_market_orders),
    )


def raw_rule(raw: Any) -> tuple[Any, ...]:
    price, lot, notional, count = (
        next((entry for entry in raw["filters"] if entry["filterType"] == name), {})
        for name in ("PRICE_FILTER", "LOT_SIZE", "MIN_NOTIONAL", "MAX_NUM_ORDERS")
    )
    margin = raw.get("marginAsset", raw["quoteAsset"])
    return (
        (raw["baseAsset"] + "-" + raw["quoteAsset"], raw["symbol"], margin, margin),
        (D(lot["minQty"]), D(lot["maxQty"]), D(lot["stepSize"])),
        (D(price["minPrice"]), D(price["maxPrice"]), D(price["tickSize"])),
        (
            D(notional.get("notional", 0)),
            count.get("limit", 0),
            *(kind in raw["orderTypes"] for kind in ("LIMIT", "MARKET")),
        ),
    )


def raw_order(raw: Any) -> tuple[Any, ...]:
    amounts = {"cumulative_base": "executedQty", "cumulative_quote": "cumQuote", "price": "price", "amount": "origQty"}
    misc = {ours: D(raw[theirs]) for ours, theirs in amounts.items()}
    ids = raw["clientOrderId"], str(raw["orderId"])
    return PAIR, raw["updateTime"] / 1e3, STATES[raw["status"]], *ids, misc


def raw_algo(raw: Any) -> tuple[Any, ...]:
    misc = {"price": D(raw.get("price", 0)), "amount": D(raw["quantity"])}
    state = STATES[raw["algoStatus"]]
    return PAIR, raw["updateTime"] / 1e3, state, raw["clientAlgoId"], f"algo-{raw['algoId']}", misc


def raw_algo_update(raw: Any) -> tuple[Any, ...]:
    o = raw["o"]
    misc = {"price": D(o["p"]), "amount": D(o["q"])}
    update = PAIR, raw["T"] / 1e3, STATES[o["X"]], o["caid"], o["ai"] or f"algo-{o['aid']}", misc
    return update, o["X"] == "FINISHED"


def told(trade: Any) -> tuple[Any, ...] | None:
    """A TradeUpdate with its fee as plain values."""
    return trade and (*trade[:8], [tuple(fee) for fee in trade.fee.flat_fees], trade.fee.percent, trade.is_taker)


def order_trade(raw: Any) -> tuple[Any, ...]:
    update, trade = messages.parse_order_trade_update(raw, PAIR)
    return update, told(trade)


def raw_order_trade(raw: Any) -> tuple[Any, ...]:
    o = raw["o"]
    ids, time_s = (o["c"], str(o["i"])), o["T"] / 1e3
    misc = {"cumulative_base": D(o["z"]), "price": D(o["p"]), "amount": D(o["q"])}
    update = PAIR, time_s, STATES[o["X"]], *ids, misc
    if not D(o["l"]):
        return update, None
    fees = [(o["N"], D(o["n"]))] if o.get("N") else []
    amounts = D(o["L"]), D(o["l"]), D(o["L"]) * D(o["l"])
    return update, (str(o["t"]), *ids, PAIR, time_s, *amounts, fees, 0, not o["m"])


def raw_user_trade(raw: Any) -> tuple[Any, ...]:
    amounts = D(raw["price"]), D(raw["qty"]), D(raw["quoteQty"])
    fees = [(raw["commissionAsset"], D(raw["commission"]))]
    return str(raw["id"]), "9", str(raw["orderId"]), PAIR, raw["time"] / 1e3, *amounts, fees, 0, not raw["maker"]


def raw_position(raw: Any) -> Position:
    numbers = (D(raw[name]) for name in ("unRealizedProfit", "entryPrice", "positionAmt", "leverage"))
    return Position(PAIR, PositionSide(raw["positionSide"]), *numbers)


def raw_account_update(raw: Any) -> tuple[Any, ...]:
    a = raw["a"]
    balances = [(row["a"], D(row["wb"]), None) for row in a.get("B", [])]
    positions = [
        Position(row["s"], PositionSide(row["ps"]), D(row["up"]), D(row["ep"]), D(row["pa"]), D(0)) for row in a["P"]
    ]
    return a["m"], raw["T"] / 1e3, balances, positions


def raw_trade(raw: Any) -> tuple[Any, ...]:
    side = TradeType.SELL if raw["m"] else TradeType.BUY
    return raw["t"], D(raw["p"]), D(raw["q"]), side, raw["T"] * 10**6


def raw_premium(raw: Any) -> FundingInfo:
    next_s = raw["nextFundingTime"] // 1000
    return FundingInfo(PAIR, D(raw["indexPrice"]), D(raw["markPrice"]), next_s, D(raw["lastFundingRate"]))


def rate(raw: Any) -> Decimal | None:
    """As the connector reads the one field of a settled rate that it needs."""
    return messages.parse_settled_rate([raw])


KINDS = {
    "symbol": Kind(rule_values, raw_rule, frozenset({"marginAsset"})),
    "order": Kind(lambda raw: messages.parse_order(raw, PAIR), raw_order, frozenset({"updateTime", "time"})),
    "algo order": Kind(
        lambda raw: messages.parse_algo_order(raw, PAIR), raw_algo, frozenset({"actualOrderId", "price"})
    ),
    "user trade": Kind(
        lambda raw: told(messages.parse_user_trade(raw, PAIR, "9")),
        raw_user_trade,
        nullable=frozenset({"commission", "commissionAsset"}),
    ),
    "balance": Kind(
        lambda raw: messages.parse_balances([raw]),
        lambda raw: [(raw["asset"], D(raw["balance"]), D(raw["availableBalance"]))],
    ),
    "position": Kind(lambda raw: messages.parse_position(raw, PAIR), raw_position),
    "commission rate": Kind(
        messages.parse_fee_rates,
        lambda raw: FeeRates(D(raw["makerCommissionRate"]), D(raw["takerCommissionRate"])),
    ),
    "funding rate": Kind(rate, lambda raw: D(raw["fundingRate"])),
    "premium index": Kind(lambda raw: messages.parse_premium_index(raw, PAIR), raw_premium),
    "depth snapshot": Kind(
        messages.parse_depth_snapshot,
        lambda raw: (raw["lastUpdateId"], raw["bids"], raw["asks"], raw["T"] * 10**6, 0),
    ),
    "depthUpdate": Kind(
        messages.parse_depth_diff,
        lambda raw: (raw["U"], raw["u"], raw["pu"], raw["b"], raw["a"], raw["T"] * 10**6, 0),
    ),
    "bookTicker": Kind(
        messages.parse_book_ticker, lambda raw: (raw["u"], D(raw["b"]), D(raw["B"]), D(raw["a"]), D(raw["A"]))
    ),
    "trade": Kind(messages.parse_trade, raw_trade),
    "ORDER_TRADE_UPDATE": Kind(order_trade, raw_order_trade, *[frozenset({"N", "n"})] * 2),
    "ALGO_UPDATE": Kind(lambda raw: messages.parse_algo_update(raw, PAIR), raw_algo_update),
    "ACCOUNT_UPDATE": Kind(
        lambda raw: messages.parse_account_update(raw, str), raw_account_update, frozenset({"B", "P"})
    ),
}


def places(raw: Any) -> Iterator[tuple[Any, str]]:
    """Every object in a payload, with each of its keys."""
    if isinstance(raw, dict):
        yield from ((raw, key) for key in list(raw))
    for item in raw.values() if isinstance(raw, dict) else raw if isinstance(raw, list) else ():
        yield from places(item)


def mutants(raw: Any, kind: Kind) -> Iterator[tuple[str, Any]]:
    """The payload with one key removed, and with one value of another type, in every place."""
    for number, (_, key) in enumerate(places(raw)):
        if key not in kind.optional:
            broken = copy.deepcopy(raw)
            holder, _ = list(places(broken))[number]
            del holder[key]
            yield f"without {key}", broken
        for other in (None, True, 1.5, [], {}, "x"):
            broken = copy.deepcopy(raw)
            holder, _ = list(places(broken))[number]
            if type(holder[key]) is not type(other) and not (other is None and key in kind.nullable):
                holder[key] = other
                yield f"{key}={other!r}", broken


@pytest.fixture(scope="module")
def files(shared_dir: Path) -> dict[str, Any]:
    """Payloads by file name, of all files but the ones that are left."""
    folder = shared_dir / "fixtures" / "binance"
    if not folder.is_dir():
        pytest.skip(f"recorded payloads are not here: {folder} is missing")
    names = {path.relative_to(folder).as_posix().removesuffix(".json") for path in folder.rglob("*") if path.is_file()}
    left = [name for group in LEFT.values() for name in group]
    assert len(left) == len(set(left))
    assert set(left) <= names, "named as left, but not there"
    return {name: orjson.loads((folder / f"{name}.json").read_bytes()) for name in sorted(names - set(left))}


def test_every_file_is_known_and_reads_to_its_own_values(files: dict[str, Any]) -> None:
    seen = set()
    for name, payload in files.items():
        found = list(samples(payload))
        assert found, name
        for kind, raw in found:
            assert kind in KINDS, (name, kind)
            assert KINDS[kind].read(raw) == KINDS[kind].expected(raw), name
            seen.add(kind)
    assert seen == KINDS.keys(), "kinds without a file"


def test_every_rule_that_trades_is_among_the_rules(files: dict[str, Any]) -> None:
    infos = [payload for payload in files.values() if isinstance(payload, dict) and "symbols" in payload]
    assert len(infos) == 2
    for info in infos:
        rules = [rule.exchange_symbol for rule in messages.parse_exchange_info(info)]
        assert rules == [raw["symbol"] for raw in info["symbols"] if raw["status"] == "TRADING"]


def firsts(files: dict[str, Any], count: int = 3) -> Iterator[tuple[str, str, Any]]:
    """The first payloads of each kind in each file: those that follow in a capture are of the same make."""
    for name, payload in files.items():
        left = dict.fromkeys(KINDS, count)
        for kind, raw in samples(payload):
            left[kind] -= 1
            if left[kind] >= 0:
                yield name, kind, raw


def test_a_broken_payload_is_a_message_error_or_broken_where_nobody_reads(files: dict[str, Any]) -> None:
    broken_ones = 0
    for name, kind, raw in firsts(files):
        read, whole = KINDS[kind].read, KINDS[kind].read(raw)
        for what, broken in mutants(raw, KINDS[kind]):
            try:
                result = read(broken)
            except MessageError:
                broken_ones += 1
            else:
                assert result == whole, (name, kind, what)
    assert broken_ones > 2_000


def ours(kind: str, raw: Any) -> Any:
    """A stream event as one of the order that is tracked, or the next one of the book that is kept."""
    raw = copy.deepcopy(raw)
    if kind == "ORDER_TRADE_UPDATE":
        raw["o"] |= {"s": "BTCUSDT", "c": "x-1", "q": "0.01", "p": "7000"}
        raw["o"] |= {"l": "0.001", "z": "0.001"} if D(raw["o"]["l"]) else {}
        raw["o"] |= {"N": None, "n": None}  # a fee's asset is first met on the generic path
    else:
        raw |= {"s": "BTCUSDT"} | ({"pu": 102, "U": 103, "u": 105} if kind == "depthUpdate" else {})
    return raw


def test_the_scanners_read_the_same_or_decline(files: dict[str, Any]) -> None:
    """Each as it was recorded, then as one that the scanner must take, and that in all its broken forms."""

    def same_end(kind: str, raw: Any) -> int:
        if kind == "ORDER_TRADE_UPDATE":
            return same_orders([orjson.dumps(raw)])
        return same_book([FIRST, orjson.dumps(raw)], "0.0001", "0.001")

    seen = []
    for name, kind, raw in firsts(files, 1):
        if kind in ("ORDER_TRADE_UPDATE", "depthUpdate", "trade"):
            seen.append(kind)
            same_end(kind, raw)
            assert same_end(kind, ours(kind, raw)) == 1, name
            for _, broken in mutants(ours(kind, raw), KINDS[kind]):
                same_end(kind, broken)
    assert len(seen) > 10
