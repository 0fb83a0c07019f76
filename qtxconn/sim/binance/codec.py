"""Engine objects -> Binance USD-M wire dicts. Pure: values in, values out; numbers leave as decimal text.

Field names and shapes: Binance USD-M REST, market-stream and user-stream documentation.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING, Any

from qtxconn.sim.model import ExpireReason
from qtxconn.sim.risk import LIQUIDATION_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qtxconn.sim.model import (
        Amendment,
        BookTicker,
        DepthUpdate,
        Execution,
        Income,
        Instrument,
        MarketTrade,
        SimOrder,
    )
    from qtxconn.sim.venue import Venue

SIDE_TEXT = {1: "BUY", -1: "SELL"}
# Binance dates a perpetual's delivery to the end of the year 2100.
PERPETUAL_DELIVERY_MS = 4_133_404_800_000
ORDER_TYPES = ("LIMIT", "MARKET")
ALL_ORDER_TYPES = (*ORDER_TYPES, "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")
TIMES_IN_FORCE = ("GTC", "IOC", "FOK", "GTX", "GTD")

_EIGHT = Decimal("0.00000001")
_ZERO = Decimal(0)


def decimals(step: Decimal) -> int:
    """Digits after the point that values on this grid can need."""
    return max(0, -int(step.normalize().as_tuple().exponent))


def price_precision(instrument: Instrument) -> int:
    """Binance's pricePrecision: digits, not the tick; majors show at least two."""
    return max(2, decimals(instrument.tick_size))


def amount_text(value: Decimal) -> str:
    """An amount of an asset with Binance's eight decimals, cut off beyond them."""
    return f"{value.quantize(_EIGHT, rounding=ROUND_DOWN):f}"


def plain_text(value: Decimal) -> str:
    """A decimal without exponent or trailing zeros."""
    return f"{value.normalize():f}" if value else "0"


def average_price(instrument: Instrument, order: SimOrder) -> Decimal:
    """Mean fill price in quote asset, 0 before the first fill."""
    if not order.filled:
        return _ZERO
    return Decimal(order.filled_quote) / order.filled * instrument.tick_size


def time_in_force(order: SimOrder) -> str:
    """Binance shows a MARKET order as GTC."""
    return "GTC" if order.type == "MARKET" else order.tif


def order_status(order: SimOrder) -> str:
    """An order that self-trade prevention ended has a status of its own."""
    if order.status == "EXPIRED" and order.expire_reason is ExpireReason.SELF_TRADE:
        return "EXPIRED_IN_MATCH"
    return order.status


def price_match(order: SimOrder) -> str:
    return order.price_match or "NONE"


def levels_text(instrument: Instrument, levels: Iterable[tuple[int, int]]) -> list[list[str]]:
    price, quantity = instrument.ticks_to_text, instrument.lots_to_text
    return [[price(ticks), quantity(lots)] for ticks, lots in levels]


# -- REST: market ------------------------------------------------------------------------------------------


def exchange_info_symbol(instrument: Instrument) -> dict[str, Any]:
    """One entry of exchangeInfo.symbols."""
    tick, step = plain_text(instrument.tick_size), plain_text(instrument.lot_size)
    smallest = instrument.lots_to_text(instrument.min_qty)
    percent = instrument.percent_price
    return {
        "symbol": instrument.symbol,
        "pair": instrument.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": PERPETUAL_DELIVERY_MS,
        "onboardDate": 1_569_398_400_000,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": instrument.base,
        "quoteAsset": instrument.quote,
        "marginAsset": instrument.quote,
        "pricePrecision": price_precision(instrument),
        "quantityPrecision": decimals(instrument.lot_size),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "settlePlan": 0,
        "triggerProtect": "0.0500",
        "liquidationFee": f"{instrument.liquidation_fee:.6f}",
        "marketTakeBound": plain_text(percent),
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "10000000", "tickSize": tick},
            {
                "filterType": "LOT_SIZE",
                "minQty": smallest,
                "maxQty": instrument.lots_to_text(instrument.max_qty),
                "stepSize": step,
            },
            {
                "filterType": "MARKET_LOT_SIZE",
                "minQty": smallest,
                "maxQty": instrument.lots_to_text(instrument.market_max_qty),
                "stepSize": step,
            },
            {"filterType": "MAX_NUM_ORDERS", "limit": instrument.max_open_orders},
            {"filterType": "MIN_NOTIONAL", "notional": plain_text(instrument.min_notional)},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": plain_text(1 + percent),
                "multiplierDown": plain_text(1 - percent),
                "multiplierDecimal": "4",
            },
        ],
        "orderTypes": list(ALL_ORDER_TYPES),
        "timeInForce": list(TIMES_IN_FORCE),
    }


def premium_index(venue: Venue, symbol: str, now_ms: int) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "markPrice": amount_text(venue.mark_price(symbol)),
        "indexPrice": amount_text(venue.index_price(symbol)),
        "estimatedSettlePrice": amount_text(venue.index_price(symbol)),
        "lastFundingRate": amount_text(venue.funding_rate(symbol)),
        "interestRate": "0.00010000",
        "nextFundingTime": venue.next_funding_ms(symbol),
        "time": now_ms,
    }


def book_ticker(instrument: Instrument, ticker: BookTicker) -> dict[str, Any]:
    """GET ticker/bookTicker; an empty side has price and quantity 0."""
    return {
        "symbol": instrument.symbol,
        "bidPrice": instrument.ticks_to_text(ticker.bid),
        "bidQty": instrument.lots_to_text(ticker.bid_qty),
        "askPrice": instrument.ticks_to_text(ticker.ask),
        "askQty": instrument.lots_to_text(ticker.ask_qty),
        "lastUpdateId": ticker.update_id,
        "time": ticker.transaction_ms,
    }


def recent_trade(instrument: Instrument, trade: MarketTrade) -> dict[str, Any]:
    return {
        "id": trade.trade_id,
        "price": instrument.ticks_to_text(trade.price),
        "qty": instrument.lots_to_text(trade.quantity),
        "quoteQty": plain_text(trade.price * instrument.tick_size * trade.quantity * instrument.lot_size),
        "time": trade.time_ms,
        "isBuyerMaker": trade.buyer_is_maker,
        "isRPITrade": False,
    }


def aggregate_trade(instrument: Instrument, trade: MarketTrade) -> dict[str, Any]:
    """An aggregate of one trade: this venue aggregates nothing, so first and last trade id are the same."""
    return {
        "a": trade.trade_id,
        "p": instrument.ticks_to_text(trade.price),
        "q": instrument.lots_to_text(trade.quantity),
        "f": trade.trade_id,
        "l": trade.trade_id,
        "T": trade.time_ms,
        "m": trade.buyer_is_maker,
    }


# -- REST and WebSocket API: orders and account -------------------------------------------------------------


def order_result(
    instrument: Instrument, order: SimOrder, *, with_time: bool = False, ack: bool = False
) -> dict[str, Any]:
    """The order object of order answers and queries.

    `with_time` adds the creation time (queries have it, order answers do not). `ack` shows the order as
    it was accepted, before its first fill (newOrderRespType ACK).
    """
    filled = 0 if ack else order.filled
    average = _ZERO if ack else average_price(instrument, order)
    quote = _ZERO if ack else order.filled_quote * instrument.tick_size * instrument.lot_size
    executed = instrument.lots_to_text(filled)
    result: dict[str, Any] = {
        "orderId": order.order_id,
        "symbol": order.symbol,
        "status": "NEW" if ack else order_status(order),
        "clientOrderId": order.client_order_id,
        "price": instrument.ticks_to_text(order.price),
        "avgPrice": f"{average:.{price_precision(instrument) + 3}f}",
        "origQty": instrument.lots_to_text(order.quantity),
        "executedQty": executed,
        "cumQty": executed,
        "cumQuote": amount_text(quote),
        "timeInForce": time_in_force(order),
        "type": order.type,
        "origType": order.type,
        "reduceOnly": order.reduce_only,
        "closePosition": order.close_position,
        "side": SIDE_TEXT[order.side],
        "positionSide": order.position_side,
        "stopPrice": "0.00",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "priceMatch": price_match(order),
        "selfTradePreventionMode": order.self_trade,
        "goodTillDate": order.good_till_ms,
        "updateTime": order.created_ms if ack else order.updated_ms,
    }
    if with_time:
        result["time"] = order.created_ms
    return result


def user_trade(instrument: Instrument, execution: Execution) -> dict[str, Any]:
    order = execution.order
    return {
        "symbol": order.symbol,
        "id": execution.trade_id,
        "orderId": order.order_id,
        "side": SIDE_TEXT[order.side],
        "price": instrument.ticks_to_text(execution.price),
        "qty": instrument.lots_to_text(execution.quantity),
        "realizedPnl": plain_text(execution.realized_pnl),
        "quoteQty": plain_text(execution.price * instrument.tick_size * execution.quantity * instrument.lot_size),
        "commission": plain_text(execution.fee),
        "commissionAsset": execution.fee_asset,
        "time": execution.time_ms,
        "positionSide": order.position_side,
        "buyer": order.side == 1,
        "maker": execution.is_maker,
    }


def income(record: Income) -> dict[str, Any]:
    """One entry of GET /fapi/v1/income."""
    return {
        "symbol": record.symbol,
        "incomeType": record.type,
        "income": amount_text(record.amount),
        "asset": record.asset,
        "info": str(record.trade_id) if record.trade_id else record.type,
        "time": record.time_ms,
        "tranId": record.income_id,
        "tradeId": str(record.trade_id) if record.trade_id else "",
    }


def amendment(instrument: Instrument, amendment: Amendment) -> dict[str, Any]:
    """One entry of GET /fapi/v1/orderAmendment."""
    order, (price, new_price), (quantity, new_quantity) = amendment.order, amendment.price, amendment.quantity
    return {
        "amendmentId": amendment.amendment_id,
        "symbol": order.symbol,
        "pair": order.symbol,
        "orderId": order.order_id,
        "clientOrderId": order.client_order_id,
        "time": amendment.time_ms,
        "amendment": {
            "price": {"before": instrument.ticks_to_text(price), "after": instrument.ticks_to_text(new_price)},
            "origQty": {"before": instrument.lots_to_text(quantity), "after": instrument.lots_to_text(new_quantity)},
            "count": amendment.number,
        },
    }


# -- market streams -----------------------------------------------------------------------------------------


def depth_event(
    instrument: Instrument,
    update: DepthUpdate,
    bids: Iterable[tuple[int, int]],
    asks: Iterable[tuple[int, int]],
    first_id: int,
    prev_id: int,
) -> dict[str, Any]:
    """depthUpdate closing with `update`; `first_id` (U) and `prev_id` (pu) are the batch's first diff's."""
    return {
        "e": "depthUpdate",
        "E": update.event_ms,
        "T": update.transaction_ms,
        "s": instrument.symbol,
        "U": first_id,
        "u": update.last_id,
        "pu": prev_id,
        "b": levels_text(instrument, bids),
        "a": levels_text(instrument, asks),
    }


def book_ticker_event(instrument: Instrument, ticker: BookTicker) -> dict[str, Any]:
    return {
        "e": "bookTicker",
        "u": ticker.update_id,
        "s": instrument.symbol,
        "b": instrument.ticks_to_text(ticker.bid),
        "B": instrument.lots_to_text(ticker.bid_qty),
        "a": instrument.ticks_to_text(ticker.ask),
        "A": instrument.lots_to_text(ticker.ask_qty),
        "T": ticker.transaction_ms,
        "E": ticker.event_ms,
    }


def trade_event(instrument: Instrument, trade: MarketTrade, now_ms: int) -> dict[str, Any]:
    return {
        "e": "trade",
        "E": now_ms,
        "T": trade.time_ms,
        "s": instrument.symbol,
        "t": trade.trade_id,
        "p": instrument.ticks_to_text(trade.price),
        "q": instrument.lots_to_text(trade.quantity),
        "X": "MARKET",
        "m": trade.buyer_is_maker,
    }


def agg_trade_event(instrument: Instrument, trade: MarketTrade, now_ms: int) -> dict[str, Any]:
    return {"e": "aggTrade", "E": now_ms, "s": instrument.symbol} | aggregate_trade(instrument, trade)


def mark_price_event(venue: Venue, symbol: str, now_ms: int) -> dict[str, Any]:
    index = amount_text(venue.index_price(symbol))
    return {
        "e": "markPriceUpdate",
        "E": now_ms,
        "s": symbol,
        "p": amount_text(venue.mark_price(symbol)),
        "i": index,
        "P": index,
        "r": amount_text(venue.funding_rate(symbol)),
        "T": venue.next_funding_ms(symbol),
    }


# -- user stream --------------------------------------------------------------------------------------------


def order_trade_update(
    instrument: Instrument, order: SimOrder, execution_type: str, execution: Execution | None, now_ms: int
) -> dict[str, Any]:
    """ORDER_TRADE_UPDATE. Fee fields (N, n) are there for a fill only. A fill of a liquidation is CALCULATED."""
    if execution and order.client_order_id.startswith(LIQUIDATION_PREFIX):
        execution_type = "CALCULATED"
    time_ms = execution.time_ms if execution else order.updated_ms
    body: dict[str, Any] = {
        "s": order.symbol,
        "c": order.client_order_id,
        "S": SIDE_TEXT[order.side],
        "o": order.type,
        "f": time_in_force(order),
        "q": instrument.lots_to_text(order.quantity),
        "p": instrument.ticks_to_text(order.price),
        "ap": plain_text(average_price(instrument, order)),
        "sp": "0",
        "x": execution_type,
        "X": order_status(order),
        "i": order.order_id,
        "l": instrument.lots_to_text(execution.quantity if execution else 0),
        "z": instrument.lots_to_text(order.filled),
        "L": instrument.ticks_to_text(execution.price if execution else 0),
    }
    if execution:
        body["n"] = plain_text(execution.fee)
        body["N"] = execution.fee_asset
    body |= {
        "T": time_ms,
        "t": execution.trade_id if execution else 0,
        "b": "0",
        "a": "0",
        "m": bool(execution and execution.is_maker),
        "R": order.reduce_only,
        "wt": "CONTRACT_PRICE",
        "ot": order.type,
        "ps": order.position_side,
        "cp": order.close_position,
        "rp": plain_text(execution.realized_pnl) if execution else "0",
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": order.self_trade,
        "pm": price_match(order),
        "gtd": order.good_till_ms,
    }
    return {"e": "ORDER_TRADE_UPDATE", "T": time_ms, "E": now_ms, "o": body}


def force_order_event(instrument: Instrument, order: SimOrder, now_ms: int) -> dict[str, Any]:
    """forceOrder, the public word of a liquidation."""
    filled = instrument.lots_to_text(order.filled)
    return {
        "e": "forceOrder",
        "E": now_ms,
        "o": {
            "s": order.symbol,
            "S": SIDE_TEXT[order.side],
            "o": order.type,
            "f": order.tif,
            "q": instrument.lots_to_text(order.quantity),
            "p": instrument.ticks_to_text(order.price),
            "ap": plain_text(average_price(instrument, order)),
            "X": order.status,
            "l": filled,
            "z": filled,
            "T": order.updated_ms,
        },
    }


def account_config_update(symbol: str, leverage: int, now_ms: int) -> dict[str, Any]:
    return {"e": "ACCOUNT_CONFIG_UPDATE", "E": now_ms, "T": now_ms, "ac": {"s": symbol, "l": leverage}}


def trade_lite(instrument: Instrument, execution: Execution, now_ms: int) -> dict[str, Any]:
    """TRADE_LITE: the fast word of a fill, without fee and status."""
    order = execution.order
    return {
        "e": "TRADE_LITE",
        "E": now_ms,
        "T": execution.time_ms,
        "s": order.symbol,
        "q": instrument.lots_to_text(order.quantity),
        "p": instrument.ticks_to_text(order.price),
        "m": execution.is_maker,
        "c": order.client_order_id,
        "S": SIDE_TEXT[order.side],
        "L": instrument.ticks_to_text(execution.price),
        "l": instrument.lots_to_text(execution.quantity),
        "t": execution.trade_id,
        "i": order.order_id,
    }
