"""Binance USD-M futures: hosts, endpoints with their weights, rate limits, error codes.

https://developers.binance.com/docs/derivatives/usds-margined-futures
"""

from __future__ import annotations

import string

from qtxconn.core.types import OrderState, OrderType
from qtxconn.errors import (
    AuthenticationError,
    DuplicateOrderIdError,
    InsufficientBalanceError,
    InvalidRequestError,
    OrderNotFoundError,
    OrderRejectedError,
    OutcomeUnknownError,
    PostOnlyRejectedError,
    RateLimitedError,
    ReduceOnlyRejectedError,
    TimestampError,
    VenueError,
)
from qtxconn.net.throttler import RateLimit
from qtxconn.net.venue_rest import Endpoint, Security

REST_URL = "https://fapi.binance.com"
# Since 2026 each kind of stream has a host path of its own; `/ws` and `/stream` hang below it.
WS_PUBLIC_URL = "wss://fstream.binance.com/public"
WS_MARKET_URL = "wss://fstream.binance.com/market"
WS_PRIVATE_URL = "wss://fstream.binance.com/private"
WS_TRADE_URL = "wss://ws-fapi.binance.com/ws-fapi/v1"

CLIENT_ORDER_ID_LENGTH_MAX = 36
CLIENT_ORDER_ID_LETTERS = string.ascii_letters + string.digits + ".:/_-"
RECV_WINDOW_MS = 5_000
LISTEN_KEY_RENEWAL_S = 25 * 60  # a key lives 60 minutes
DEPTH_LIMIT = 1_000
FILLS_PER_PAGE = 1_000
INCOME_PER_PAGE = 1_000
BATCH_SIZE_MAX, BATCH_CANCEL_SIZE_MAX = 5, 10
GOOD_TILL_AHEAD_MIN_S = 601.0  # the venue takes 600 s; the date is cut to whole seconds

# -- rate limits -------------------------------------------------------------------------------------------

IP, ORDERS_10S, ORDERS_1M = "request weight", "orders per 10 s", "orders per minute"
FUNDING_5M = "funding rate requests per 5 minutes"  # of the address; not among the venue's counters
RATE_LIMITS = (
    RateLimit(IP, 2_400, 60.0, reserved=200),  # cancels and order queries are what a busy minute must leave room for
    RateLimit(FUNDING_5M, 500, 300.0),
    RateLimit(ORDERS_10S, 300, 10.0, scope="account"),
    RateLimit(ORDERS_1M, 1_200, 60.0, scope="account"),
)
# The same counters in the answers of the WebSocket API: (type, how many of it, interval).
USED_COUNTERS = {
    ("REQUEST_WEIGHT", 1, "MINUTE"): IP,
    ("ORDERS", 10, "SECOND"): ORDERS_10S,
    ("ORDERS", 1, "MINUTE"): ORDERS_1M,
}
USED_HEADERS = {
    "X-MBX-USED-WEIGHT-1M": IP,
    "X-MBX-ORDER-COUNT-10S": ORDERS_10S,
    "X-MBX-ORDER-COUNT-1M": ORDERS_1M,
}

# -- endpoints ---------------------------------------------------------------------------------------------

ONE = {IP: 1}
SERVER_TIME = Endpoint("GET", "/fapi/v1/time", ONE, Security.NONE, priority=True)  # a cancel may wait for it
EXCHANGE_INFO = Endpoint("GET", "/fapi/v1/exchangeInfo", ONE, Security.NONE)
DEPTH = Endpoint("GET", "/fapi/v1/depth", {IP: 20}, Security.NONE)  # at DEPTH_LIMIT
PREMIUM_INDEX = Endpoint("GET", "/fapi/v1/premiumIndex", ONE, Security.NONE)
PLACE_ORDER = Endpoint("POST", "/fapi/v1/order", {ORDERS_10S: 1, ORDERS_1M: 1}, ws_method="order.place")
AMEND_ORDER = Endpoint("PUT", "/fapi/v1/order", {IP: 1, ORDERS_10S: 1, ORDERS_1M: 1}, ws_method="order.modify")
CANCEL_ORDER = Endpoint("DELETE", "/fapi/v1/order", ONE, priority=True, ws_method="order.cancel")
QUERY_ORDER = Endpoint("GET", "/fapi/v1/order", ONE, priority=True)
PLACE_BATCH = Endpoint("POST", "/fapi/v1/batchOrders", {IP: 5, ORDERS_10S: BATCH_SIZE_MAX, ORDERS_1M: BATCH_SIZE_MAX})
CANCEL_BATCH = Endpoint("DELETE", "/fapi/v1/batchOrders", ONE, priority=True)
OPEN_ORDERS = Endpoint("GET", "/fapi/v1/openOrders", ONE, priority=True)  # of one symbol
CANCEL_ALL = Endpoint("DELETE", "/fapi/v1/allOpenOrders", ONE, priority=True)
PLACE_ALGO = Endpoint("POST", "/fapi/v1/algoOrder", {ORDERS_10S: 1, ORDERS_1M: 1}, ws_method="algoOrder.place")
CANCEL_ALGO = Endpoint("DELETE", "/fapi/v1/algoOrder", ONE, priority=True, ws_method="algoOrder.cancel")
QUERY_ALGO = Endpoint("GET", "/fapi/v1/algoOrder", ONE, priority=True)
OPEN_ALGOS = Endpoint("GET", "/fapi/v1/openAlgoOrders", ONE, priority=True)  # of one symbol
CANCEL_ALL_ALGOS = Endpoint("DELETE", "/fapi/v1/algoOpenOrders", ONE, priority=True)
USER_TRADES = Endpoint("GET", "/fapi/v1/userTrades", {IP: 5})
BALANCES = Endpoint("GET", "/fapi/v3/balance", {IP: 5})
POSITIONS = Endpoint("GET", "/fapi/v2/positionRisk", {IP: 5})  # v3 leaves the leverage out
ACCOUNT_CONFIG = Endpoint("GET", "/fapi/v1/accountConfig", {IP: 5})  # the position mode's own endpoint costs 30
SET_POSITION_MODE = Endpoint("POST", "/fapi/v1/positionSide/dual", ONE)
MARGIN_TYPE = Endpoint("POST", "/fapi/v1/marginType", ONE)
COUNTDOWN_CANCEL = Endpoint("POST", "/fapi/v1/countdownCancelAll", {IP: 10}, priority=True)
INCOME = Endpoint("GET", "/fapi/v1/income", {IP: 30})
FUNDING_RATES = Endpoint("GET", "/fapi/v1/fundingRate", {IP: 1, FUNDING_5M: 1}, Security.NONE)
FEE_RATES = Endpoint("GET", "/fapi/v1/commissionRate", {IP: 20})
LEVERAGE = Endpoint("POST", "/fapi/v1/leverage", ONE)
LISTEN_KEY_CREATE = Endpoint("POST", "/fapi/v1/listenKey", ONE, Security.KEY)
LISTEN_KEY_RENEW = Endpoint("PUT", "/fapi/v1/listenKey", ONE, Security.KEY)

WS_LOGON = "session.logon"
WS_HANDSHAKE_WEIGHTS, WS_LOGON_WEIGHTS = {IP: 5}, {IP: 2}

# -- vocabulary --------------------------------------------------------------------------------------------

# The conditional ones are the algo service's.
ORDER_TYPES = {
    OrderType.MARKET: "MARKET",
    OrderType.LIMIT: "LIMIT",
    OrderType.LIMIT_MAKER: "LIMIT",
    OrderType.STOP_MARKET: "STOP_MARKET",
    OrderType.STOP_LIMIT: "STOP",
    OrderType.TAKE_PROFIT_MARKET: "TAKE_PROFIT_MARKET",
    OrderType.TAKE_PROFIT_LIMIT: "TAKE_PROFIT",
    OrderType.TRAILING_STOP_MARKET: "TRAILING_STOP_MARKET",
}
TRIGGER_SOURCES = {"last": "CONTRACT_PRICE", "mark": "MARK_PRICE"}
ALGO_STATES = {
    "NEW": OrderState.OPEN,
    "TRIGGERING": OrderState.OPEN,
    "TRIGGERED": OrderState.OPEN,
    "FINISHED": OrderState.OPEN,  # the order that it placed has ended, and says itself how
    "CANCELED": OrderState.CANCELED,
    "EXPIRED": OrderState.EXPIRED,
    "REJECTED": OrderState.FAILED,  # the order that it was to place was refused
}
ALGO_UPDATE_FIELDS = {
    "X": "algoStatus",
    "caid": "clientAlgoId",
    "aid": "algoId",
    "ai": "actualOrderId",
    "p": "price",
    "q": "quantity",
}
ORDER_STATES = {
    "NEW": OrderState.OPEN,
    "PARTIALLY_FILLED": OrderState.PARTIALLY_FILLED,
    "FILLED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELED,
    "REJECTED": OrderState.FAILED,
    "EXPIRED": OrderState.EXPIRED,
    "EXPIRED_IN_MATCH": OrderState.EXPIRED,  # self-trade prevention
}

# -- errors ------------------------------------------------------------------------------------------------

ERRORS: dict[int, type[VenueError]] = {
    -1000: OutcomeUnknownError,  # "An unknown error occurred while processing the request."
    -1001: OutcomeUnknownError,  # internal error, disconnected
    -1002: AuthenticationError,
    -1003: RateLimitedError,
    -1006: OutcomeUnknownError,  # unexpected response from the message bus, execution status unknown
    -1007: OutcomeUnknownError,  # timeout waiting for the backend, execution status unknown
    -1008: RateLimitedError,  # the venue is overloaded
    -1011: AuthenticationError,  # this IP may not use the service
    -1013: InvalidRequestError,
    -1014: InvalidRequestError,
    -1015: RateLimitedError,  # too many new orders
    -1016: OutcomeUnknownError,  # shutting down
    -1020: InvalidRequestError,
    -1021: TimestampError,
    -1022: AuthenticationError,  # signature
    -1023: InvalidRequestError,
    -1099: AuthenticationError,
    -1125: AuthenticationError,  # the listen key does not exist (any more)
    -2010: OrderRejectedError,
    -2011: OrderNotFoundError,  # cancel: "Unknown order sent."
    -2013: OrderNotFoundError,  # query: "Order does not exist."
    -2014: AuthenticationError,
    -2015: AuthenticationError,
    -2017: AuthenticationError,
    -2018: InsufficientBalanceError,
    -2019: InsufficientBalanceError,
    -2020: OrderRejectedError,
    -2021: OrderRejectedError,
    -2022: ReduceOnlyRejectedError,
    -2023: OrderRejectedError,  # in liquidation
    -2024: InsufficientBalanceError,
    -2025: OrderRejectedError,  # too many open orders
    -2026: OrderRejectedError,
    -2027: InsufficientBalanceError,  # beyond the largest position at this leverage
    -2028: InsufficientBalanceError,
    -4056: AuthenticationError,  # a key of a kind that may not do this
    -4116: DuplicateOrderIdError,
    -4118: ReduceOnlyRejectedError,
    -5022: PostOnlyRejectedError,
    -5027: InvalidRequestError,  # an amendment that changes nothing
    -5028: TimestampError,  # the matching engine's own window
}
# Codes that are not listed, by range (first, last, class).
ERROR_RANGES: tuple[tuple[int, int, type[VenueError]], ...] = (
    (-1199, -1100, InvalidRequestError),  # malformed or missing parameters
    (-4999, -4000, OrderRejectedError),  # filters and account settings
    (-5999, -5000, OrderRejectedError),  # order execution rules
)
NO_CHANGE_CODES = (-4046, -4059)  # a margin type, a position mode that is set already
HTTP_ERRORS: dict[int, type[VenueError]] = {
    401: AuthenticationError,
    403: RateLimitedError,  # the web application firewall's own limit
    408: OutcomeUnknownError,
    418: RateLimitedError,
    429: RateLimitedError,
}

ERROR_HINTS = {
    -1021: "the clock is off or the network slow; synchronise this machine's clock (chrony, ntpd)",
    -1022: "the signature is wrong: check that the API secret belongs to the API key",
    -2014: "the API key is malformed: check binance_perpetual_api_key",
    -2015: "the API key, its IP list or its permissions are refused: enable futures and this IP for the key",
    -4056: "session.logon takes Ed25519 keys only: check that the private key belongs to the API key",
    -4061: "the account's position mode has been changed: connect again with the right position_mode",
}
