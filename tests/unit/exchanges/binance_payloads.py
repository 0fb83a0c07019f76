"""What each recorded Binance payload is, by its name or its shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# What no parser is for, by the reason. A file that is neither here nor recognised fails the test.
LEFT = {
    "the list of the files": ["MANIFEST.md"],
    "signatures, see test_binance_auth": ["signing_vectors"],
    "spot or margin account": [
        *("ccxt_pro_handle_balance_1", "ccxt_rest_fetch_balance_2", "ccxt_rest_fetch_my_dust_trades_1"),
        "ccxt_rest_parse_trade_11",
    ],
    "spot market": [
        *("ccxt_pro_handle_order_book_1", "ccxt_pro_parse_ws_ticker_2", "ccxt_pro_parse_ws_trade_1"),
        *("ccxt_rest_parse_ticker_2", "ccxt_rest_parse_trade_1", "ccxt_rest_parse_trade_3"),
    ],
    "portfolio margin": ["ccxt_rest_fetch_balance_6"],
    "coin-margined": [
        *("ccxt_pro_handle_balance_3", "ccxt_rest_parse_account_position_2", "ccxt_rest_parse_order_5"),
        *("ccxt_rest_parse_order_7", "ccxt_rest_parse_order_13", "order_update_delivery"),
    ],
    "options": [
        *("ccxt_rest_fetch_ledger_entry_1", "ccxt_rest_fetch_order_book_2", "ccxt_rest_fetch_position_1"),
        *("ccxt_rest_parse_ledger_entry_1", "ccxt_rest_parse_order_3", "ccxt_rest_parse_ticker_4"),
        "ccxt_rest_parse_trade_7",
    ],
    "shares": [f"ccxt_rest_parse_order_{number}" for number in (17, 19, 21)],
    "strategy orders, now algo orders": ["ccxt_rest_fetch_open_order_1", "ccxt_rest_parse_order_9"],
    "whole account: balances and positions are asked apart": ["account_info_v2", "ccxt_rest_fetch_account_positions_1"],
    "position mode: accountConfig tells it": ["http_futures_account_position_side_dual"],
    "fill without its fee: ORDER_TRADE_UPDATE tells it": ["trade_lite"],
    "answer without content": ["ccxt_rest_cancel_all_orders_2"],
    "aggregated trades: single ones are taken": ["agg_trade_stream"],
    "past public trades": ["http_futures_market_historical_trades"],
    "tickers over REST and of 24 h: the stream's is taken": [
        *("ccxt_pro_handle_ticker_ws_2", "ccxt_pro_parse_ws_ticker_4", "ccxt_rest_parse_ticker_6"),
        *("http_futures_market_book_ticker", "ws_futures_ticker_24hr"),
    ],
    "klines": [
        *("kline_stream_open", "http_futures_market_klines", "http_futures_market_continuous_klines"),
        *("http_futures_market_index_price_klines", "http_futures_market_mark_price_klines"),
        "http_futures_market_blvt_nav_kline",
    ],
    "others' liquidations": ["liquidation_stream"],
    "statistics": ["http_futures_market_top_long_short_account_ratio"],
    "multi-asset index": ["http_futures_market_asset_index"],
    "funding caps": ["ccxt_rest_parse_funding_rate_1"],
}
LEFT_EVENTS = {"kline", "aggTrade"}  # in the captures, among those that are read
SHAPES = {  # of what is no event: the keys that no other kind has together
    "symbol": {"filters", "baseAsset"},
    "order": {"clientOrderId", "cumQuote", "status"},
    "algo order": {"algoId", "algoStatus"},
    "user trade": {"orderId", "commission", "maker"},
    "balance": {"balance", "availableBalance"},
    "position": {"positionAmt", "unRealizedProfit", "leverage"},
    "commission rate": {"makerCommissionRate"},
    "funding rate": {"fundingRate", "fundingTime"},
    "premium index": {"lastFundingRate", "indexPrice"},
    "depth snapshot": {"lastUpdateId", "bids"},
}


def samples(payload: Any) -> Iterator[tuple[str | None, Any]]:
    """The kinds and payloads in a file, out of lists, captures and answers. Kind None: not recognised."""
    inner = payload if isinstance(payload, list) else [payload[key] for key in ("data", "result") if key in payload]
    if isinstance(payload, dict) and not inner:
        inner = payload.get("symbols", [])
        inner = inner or [record["body"] for key in ("snapshots", "messages") for record in payload.get(key, [])]
    if inner:
        for item in inner:
            yield from samples(item)
    elif {"c", "x", "X", "i"} <= payload.keys():  # the inside of an event, as ccxt keeps it
        yield "ORDER_TRADE_UPDATE", {"e": "ORDER_TRADE_UPDATE", "o": payload}
    elif {"caid", "aid"} <= payload.keys():
        yield "ALGO_UPDATE", {"e": "ALGO_UPDATE", "T": 1, "o": payload}
    elif {"pa", "ep", "ps"} <= payload.keys():
        yield "ACCOUNT_UPDATE", {"e": "ACCOUNT_UPDATE", "T": 1, "a": {"m": "ORDER", "P": [payload]}}
    elif payload.get("e") not in LEFT_EVENTS:
        event = payload.get("e")
        yield event or next((kind for kind, keys in SHAPES.items() if keys <= payload.keys()), None), payload
