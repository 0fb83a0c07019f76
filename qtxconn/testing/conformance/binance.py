"""The kit's hand on Binance USD-M: its own signing and requests, so that nothing of the connector vouches for it."""

from __future__ import annotations

import asyncio
import gzip
import hmac
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import aiohttp
import orjson
from yarl import URL

from qtxconn.core.clock import SYSTEM_CLOCK
from qtxconn.core.types import MarginType, OrderState, OrderType, PositionSide, TradeType
from qtxconn.errors import (
    AuthenticationError,
    InsufficientBalanceError,
    InvalidRequestError,
    OrderNotFoundError,
    OrderRejectedError,
    OutcomeUnknownError,
    PostOnlyRejectedError,
    ReduceOnlyRejectedError,
    TimestampError,
    VenueError,
)
from qtxconn.exchanges.binance.perpetual import BinancePerpetual
from qtxconn.sim.faults import Fault, RequestFault
from qtxconn.sim.launch import VenueProcess
from qtxconn.testing.conformance.target import (
    Account,
    Action,
    Levels,
    Refusal,
    Target,
    VenueFill,
    VenueHand,
    VenueOrder,
    VenueStop,
)

if TYPE_CHECKING:
    from qtxconn.core.connectors import PerpetualDerivativeBase
    from qtxconn.core.order_journal import OrderJournalBase

SYMBOL, PAIR, QUOTE = "BTCUSDT", "BTC-USDT", "USDT"
TESTED = Account("conformance-key", "conformance-secret")
COUNTERPARTY = Account("counterparty-key", "counterparty-secret")
BALANCE = 100_000
CONNECTOR_ADDRESS, HAND_ADDRESS = "127.0.0.1", "127.0.0.2"
EXPECTED_LIMITS = {"weight_1m": 2_400, "orders_10s": 300, "orders_1m": 1_200}  # what the connector goes by
WEIGHT_HEADER, COUNT_HEADER = "X-MBX-USED-WEIGHT-1M", "X-MBX-ORDER-COUNT-10S"
ALL_OPEN_ORDERS_WEIGHT = 40
PAGE = 1_000  # rows of an answer at most
STATES = {
    "NEW": OrderState.OPEN,
    "PARTIALLY_FILLED": OrderState.PARTIALLY_FILLED,
    "FILLED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELED,
    "EXPIRED": OrderState.EXPIRED,
    "EXPIRED_IN_MATCH": OrderState.EXPIRED,
}
CONDITIONAL_STATES = {
    "NEW": OrderState.OPEN,
    "CANCELED": OrderState.CANCELED,
    "EXPIRED": OrderState.EXPIRED,
    "REJECTED": OrderState.FAILED,
}
CONDITIONAL_TYPES = {
    "STOP_MARKET": OrderType.STOP_MARKET,
    "STOP": OrderType.STOP_LIMIT,
    "TAKE_PROFIT_MARKET": OrderType.TAKE_PROFIT_MARKET,
    "TAKE_PROFIT": OrderType.TAKE_PROFIT_LIMIT,
    "TRAILING_STOP_MARKET": OrderType.TRAILING_STOP_MARKET,
}
NO_SUCH_ORDER = -2013
WHERE = {
    Action.PLACE: "POST /fapi/v1/order",
    Action.CANCEL: "DELETE /fapi/v1/order",
    Action.AMEND: "PUT /fapi/v1/order",
    Action.QUERY: "GET /fapi/v1/order",
    Action.FILLS: "GET /fapi/v1/userTrades",
    Action.BALANCES: "GET /fapi/v?/balance",
    Action.POSITIONS: "GET /fapi/v?/positionRisk",
    Action.RULES: "GET /fapi/v1/exchangeInfo",
    Action.SERVER_TIME: "GET /fapi/v1/time",
    Action.USER_STREAM_KEY: "POST /fapi/v1/listenKey",
    Action.SNAPSHOT: "GET /fapi/v1/depth",
    Action.FUNDING_INFO: "GET /fapi/v1/premiumIndex",
    Action.COUNTDOWN: "POST /fapi/v1/countdownCancelAll",
    Action.FUNDING_PAYMENTS: "GET /fapi/v1/income",
    Action.PLACE_STOP: "POST /fapi/v1/algoOrder",
    Action.STOP_EVENT: "user ALGO_UPDATE",
    Action.ORDER_EVENT: "user ORDER_TRADE_UPDATE",
    Action.ACCOUNT_EVENT: "user ACCOUNT_UPDATE",
    Action.DEPTH_EVENT: "stream *@depth*",
    Action.TRADE_EVENT: "stream *@trade",
}
WHERE_WEBSOCKET = WHERE | {
    Action.PLACE: "ws order.place",
    Action.CANCEL: "ws order.cancel",
    Action.AMEND: "ws order.modify",
    Action.PLACE_STOP: "ws algoOrder.place",
}
REFUSALS: dict[Refusal, tuple[int, int, str, type[VenueError]]] = {
    Refusal.BALANCE: (400, -2019, "Margin is insufficient.", InsufficientBalanceError),
    Refusal.POST_ONLY: (400, -5022, "Could not be executed as maker.", PostOnlyRejectedError),
    Refusal.REDUCE_ONLY: (400, -2022, "ReduceOnly Order is rejected.", ReduceOnlyRejectedError),
    Refusal.TOO_MANY_ORDERS: (400, -2025, "Reach max open order limit.", OrderRejectedError),
    Refusal.FILTER: (400, -4014, "Price not increased by tick size.", OrderRejectedError),
    Refusal.PARAMETER: (400, -1102, "Mandatory parameter 'price' was not sent.", InvalidRequestError),
    Refusal.PERMISSION: (401, -2015, "Invalid API-key, IP, or permissions for action.", AuthenticationError),
    Refusal.TIMESTAMP: (400, -1021, "Timestamp for this request is outside of the recvWindow.", TimestampError),
    Refusal.NO_SUCH_ORDER: (400, -2013, "Order does not exist.", OrderNotFoundError),
    Refusal.UNKNOWN_ORDER: (400, -2011, "Unknown order sent.", OrderNotFoundError),
    Refusal.OUTCOME_UNKNOWN: (503, -1007, "Send status unknown; execution status unknown.", OutcomeUnknownError),
}
MID, GAP, LEVELS = 60_000, 10, 10
HEARTBEATS, HEARTBEAT_NS = 12_000, 50_000_000  # ten minutes


def write_quiet_market(path: Path) -> None:
    """A recording of a book that stands still, but for one far level whose size goes up and down."""
    levels = [(str(MID - GAP * n), str(MID + GAP * n)) for n in range(1, LEVELS + 1)]
    stream = f"{SYMBOL.lower()}@depth@0ms"
    with gzip.open(path, "wb", compresslevel=1) as lines:
        for number in range(1, HEARTBEATS + 1):
            bids: list[list[str]] = [[bid, "5"] for bid, _ in levels] if number == 1 else []
            asks = [[ask, "5"] for _, ask in levels] if number == 1 else []
            far = [str(MID - GAP * (LEVELS + 1)), str(5 + number % 2)]
            data = {
                "e": "depthUpdate",
                "E": number,
                "T": number,
                "s": SYMBOL,
                "U": number,
                "u": number,
                "pu": number - 1,
                "b": [*bids, far],
                "a": asks,
            }
            stamp = 1 + number * HEARTBEAT_NS
            lines.write(f"{stamp} ".encode() + orjson.dumps({"stream": stream, "data": data}) + b"\n")


class BinanceHand(VenueHand):
    """Over REST and the control endpoint, by calls that the connector does not use where a fault may strike."""

    def __init__(self, endpoints: dict[str, Any], session: aiohttp.ClientSession, order_path: str) -> None:
        self.endpoints = endpoints
        self._session = session
        self._where = WHERE_WEBSOCKET if order_path == "websocket" else WHERE
        self._accounts = 0
        self._tested = TESTED
        self._limits: dict[str, int] = {}  # as they were before crowd()

    async def _call(self, method: str, path: str, account: Account | None = None, **params: Any) -> Any:
        status, body, _ = await self._send(self._session, method, path, account or self._tested, params)
        if status != 200:
            raise OrderRejectedError(f"{method} {path}: {body['msg']}", code=body["code"], http_status=status)
        return body

    async def _send(
        self, session: aiohttp.ClientSession, method: str, path: str, account: Account, params: dict[str, Any]
    ) -> tuple[int, Any, Mapping[str, str]]:
        params |= {"timestamp": SYSTEM_CLOCK.now_ns() // 1_000_000, "recvWindow": 60_000}
        query = urlencode(params)
        signature = hmac.new(account.secret.encode(), query.encode(), "sha256").hexdigest()
        url = URL(f"{self.endpoints['rest']}{path}?{query}&signature={signature}", encoded=True)
        async with session.request(method, url, headers={"X-MBX-APIKEY": account.key}) as answer:
            return answer.status, orjson.loads(await answer.read()), answer.headers

    async def _control(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        url = f"{self.endpoints['control']}{path}"
        async with self._session.request(method, url, data=orjson.dumps(body or {})) as answer:
            result = orjson.loads(await answer.read())
            if answer.status != 200:
                raise ValueError(f"{method} {path}: {result['error']}")
        return result

    # -- the truth

    async def order(self, client_order_id: str) -> VenueOrder | None:
        rows = await self._call("GET", "/fapi/v1/allOrders", symbol=SYMBOL, limit=1000)
        placed = (_order(row) for row in reversed(rows) if row["clientOrderId"] == client_order_id)
        return next(placed, None) or await self._conditional_order(client_order_id)

    async def _conditional_order(self, client_order_id: str) -> VenueOrder | None:
        try:
            row = await self._call("GET", "/fapi/v1/algoOrder", clientAlgoId=client_order_id)
        except OrderRejectedError as error:
            if error.code == NO_SUCH_ORDER:
                return None
            raise
        return _conditional(row)

    async def waiting_orders(self) -> list[VenueStop]:
        rows = await self._call("GET", "/fapi/v1/openAlgoOrders", symbol=SYMBOL)
        return [
            VenueStop(
                row["clientAlgoId"],
                CONDITIONAL_TYPES[row["orderType"]],
                Decimal(row["triggerPrice"]),
                row["workingType"] == "MARK_PRICE",
                row["reduceOnly"],
            )
            for row in rows
        ]

    async def fills(self, exchange_order_id: str) -> list[VenueFill]:
        if not exchange_order_id.isdecimal():
            return []  # a conditional order's own id: nothing of it was ever placed
        rows = await self._call("GET", "/fapi/v1/userTrades", symbol=SYMBOL, orderId=exchange_order_id, limit=1000)
        return [_fill(row) for row in rows]

    async def orders_from(self, exchange_order_id: int) -> list[VenueOrder]:
        """Open or ended, with this id or a higher one, by id."""
        return [_order(row) for row in await self._pages("/fapi/v1/allOrders", "orderId", "orderId", exchange_order_id)]

    async def fills_from(self, trade_id: int) -> list[VenueFill]:
        """Of all orders, with this trade id or a higher one, by id."""
        return [_fill(row) for row in await self._pages("/fapi/v1/userTrades", "fromId", "id", trade_id)]

    async def _pages(self, path: str, parameter: str, key: str, first: int) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        while True:
            try:
                page = await self._call("GET", path, symbol=SYMBOL, limit=PAGE, **{parameter: first})
            except (VenueError, aiohttp.ClientError):
                continue  # a fault that was meant for the connector
            rows += page
            if len(page) < PAGE:
                return rows
            first = int(page[-1][key]) + 1

    async def open_orders(self) -> list[VenueOrder]:
        return [_order(row) for row in await self._call("GET", "/fapi/v1/openOrders", symbol=SYMBOL)]

    async def _positions(self, account: Account) -> list[dict[str, Any]]:
        answer = await self._call("GET", "/fapi/v2/account", account)
        return [row for row in answer["positions"] if row["symbol"] == SYMBOL]

    async def use(self, account: Account) -> None:
        self._tested = account

    async def position(self, side: PositionSide | None = None) -> Decimal:
        rows = await self._positions(self._tested)
        wanted = [row for row in rows if side is None or row["positionSide"] == side.name]
        return sum((Decimal(row["positionAmt"]) for row in wanted), Decimal(0))

    async def _balance(self, field: str) -> Decimal:
        answer = await self._call("GET", "/fapi/v2/account")
        return next(Decimal(row[field]) for row in answer["assets"] if row["asset"] == QUOTE)

    async def balance(self) -> Decimal:
        return await self._balance("walletBalance")

    async def available(self) -> Decimal:
        return await self._balance("availableBalance")

    async def leverage(self) -> int:
        return int((await self._positions(self._tested))[0]["leverage"])

    async def margin_type(self) -> MarginType:
        (row,) = await self._call("GET", "/fapi/v1/symbolConfig", symbol=SYMBOL)
        return MarginType.ISOLATED if row["marginType"] == "ISOLATED" else MarginType.CROSS

    async def book(self) -> tuple[Levels, Levels]:
        answer = await self._call("GET", "/fapi/v1/depth", symbol=SYMBOL, limit=1000)
        bids, asks = ([(Decimal(price), Decimal(size)) for price, size in answer[side]] for side in ("bids", "asks"))
        return bids, asks

    # -- others

    async def _limit(self, account: Account, side: TradeType, amount: Decimal, price: Decimal, tif: str) -> Any:
        order = {"symbol": SYMBOL, "side": side.name, "type": "LIMIT", "timeInForce": tif}
        order |= {"quantity": f"{amount:f}", "price": f"{price:f}", "newOrderRespType": "RESULT"}
        return await self._batch("POST", account, batchOrders=orjson.dumps([order]).decode())

    async def _batch(self, method: str, account: Account, **params: Any) -> Any:
        """A batch of one: no fault of the single calls strikes it."""
        (answer,) = await self._call(method, "/fapi/v1/batchOrders", account, **params)
        if "code" in answer:
            raise OrderRejectedError(f"{method} of a batch: {answer['msg']}", code=answer["code"])
        return answer

    async def take(self, side: TradeType, amount: Decimal, price: Decimal) -> Decimal:
        return Decimal((await self._limit(COUNTERPARTY, side, amount, price, "IOC"))["executedQty"])

    async def rest(self, side: TradeType, amount: Decimal, price: Decimal) -> str:
        return str((await self._limit(COUNTERPARTY, side, amount, price, "GTC"))["orderId"])

    async def withdraw(self, exchange_order_id: str) -> None:
        await self._batch("DELETE", COUNTERPARTY, symbol=SYMBOL, orderIdList=f"[{exchange_order_id}]")

    async def place_by_hand(self, side: TradeType, amount: Decimal, price: Decimal) -> str:
        return str((await self._limit(self._tested, side, amount, price, "GTC"))["orderId"])

    async def cancel_by_hand(self, client_order_id: str) -> None:
        await self._batch("DELETE", self._tested, symbol=SYMBOL, origClientOrderIdList=f'["{client_order_id}"]')

    async def amend_by_hand(self, client_order_id: str, price: Decimal, amount: Decimal) -> None:
        order = await self._call("GET", "/fapi/v1/order", symbol=SYMBOL, origClientOrderId=client_order_id)
        change = {"side": order["side"], "price": f"{price:f}", "quantity": f"{amount:f}"}
        await self._call("PUT", "/fapi/v1/order", symbol=SYMBOL, origClientOrderId=client_order_id, **change)

    async def clean(self) -> None:
        await self.end_faults()
        await self.set_mark_price(None)
        if self._limits:
            await self.set_limits(**self._limits)
            self._limits = {}
        for account in (self._tested, COUNTERPARTY):
            for path in ("/fapi/v1/allOpenOrders", "/fapi/v1/algoOpenOrders"):
                await self._call("DELETE", path, account, symbol=SYMBOL)
            for row in await self._positions(account):
                if position := Decimal(row["positionAmt"]):
                    side = "SELL" if position > 0 else "BUY"
                    leg = {"reduceOnly": "true"} if row["positionSide"] == "BOTH" else {}
                    close = {"side": side, "type": "MARKET", "quantity": f"{abs(position):f}"} | leg
                    close["positionSide"] = row["positionSide"]
                    await self._call("POST", "/fapi/v1/order", account, symbol=SYMBOL, **close)

    async def open_account(self, *, hedge: bool = False) -> Account:
        self._accounts += 1
        account = Account(f"further-key-{self._accounts}", "further-secret")
        await self._control("POST", "/accounts", {"api_key": account.key, "api_secret": account.secret})
        if hedge:
            await self._call("POST", "/fapi/v1/positionSide/dual", account, dualSidePosition="true")
        return account

    # -- what goes wrong

    async def fault(self, fault: Fault, action: Action, **fields: Any) -> None:
        await self._control(
            "POST", "/faults", {"fault": fault.value, "where": self._where[action], "count": 1} | fields
        )

    async def refuse(self, refusal: Refusal, action: Action, *, count: int = 1, carried_out: bool = False) -> None:
        status, code, message, _ = REFUSALS[refusal]
        fault = RequestFault.ERROR_AFTER if carried_out else RequestFault.ERROR_BEFORE
        await self.fault(fault, action, status=status, code=code, message=message, count=count)

    def refusal_error(self, refusal: Refusal) -> type[VenueError]:
        return REFUSALS[refusal][3]

    async def load_faults(self, seed: int, rules: list[dict[str, Any]]) -> None:
        """Replace the fault script."""
        await self._control("PUT", "/faults", {"seed": seed, "rules": rules})

    async def fault_counts(self) -> dict[str, int]:
        """How often each fault of the script has struck."""
        counts: Counter[str] = Counter()
        for rule in (await self._control("GET", "/faults"))["rules"]:
            counts[rule["fault"]] += rule["fired"]
        return dict(counts)

    async def set_limits(self, **limits: int) -> None:
        """Change the venue's request limits (qtxconn.sim.binance.limits.Limits)."""
        await self._control("PUT", "/limits", limits)

    async def limits(self) -> dict[str, dict[str, int]]:
        """`limits`, `peaks` (the most that was used of each) and `refusals` (by HTTP status)."""
        return await self._control("GET", "/limits")

    async def skew_clock(self, seconds: float) -> None:
        await self._control("POST", "/faults", {"fault": "clock skew", "skew_s": seconds})

    async def end_faults(self) -> None:
        await self._control("DELETE", "/faults")

    async def idle_faults(self) -> list[str]:
        rules = (await self._control("GET", "/faults"))["rules"]
        return [f"{rule['fault']} on {rule['where']}" for rule in rules if not rule["fired"] and not rule["skew_s"]]

    async def disconnect(self) -> None:
        await self._control("POST", "/disconnect")

    async def cut(self) -> None:
        await self._control("POST", "/faults", {"fault": RequestFault.RESET_BEFORE.value})
        await self.disconnect()

    async def expire_user_stream(self) -> None:
        await self._control("POST", "/listen-keys/expire")

    async def set_mark_price(self, price: Decimal | None) -> None:
        await self._control("POST", "/mark-price", {"symbol": SYMBOL, "price": None if price is None else str(price)})

    async def settle_funding(self, rate: Decimal) -> None:
        await self._control("POST", "/funding", {"symbol": SYMBOL, "rate": str(rate)})

    async def expire_dated_orders(self) -> None:
        await self._control("POST", "/good-till-dates")

    # -- limits

    async def crowd(self, *, requests_left: int | None = None, orders_left: int | None = None) -> None:
        self._limits = (await self.limits())["limits"]
        await self.set_limits(**EXPECTED_LIMITS)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=8)) as session:

            async def spend(method: str, path: str, header: str, times: int) -> int:
                sent = (self._send(session, method, path, self._tested, {}) for _ in range(times))
                return max((int(headers[header]) for _, _, headers in await asyncio.gather(*sent)), default=0)

            if requests_left is not None:
                await _window_begins(60.0, 20.0)
                used = await spend("GET", "/fapi/v1/openOrders", WEIGHT_HEADER, 1)
                left = EXPECTED_LIMITS["weight_1m"] - requests_left - used
                await spend("GET", "/fapi/v1/openOrders", WEIGHT_HEADER, left // ALL_OPEN_ORDERS_WEIGHT)
                await spend("GET", "/fapi/v1/accountConfig", WEIGHT_HEADER, left % ALL_OPEN_ORDERS_WEIGHT // 5)
            if orders_left is not None:
                await _window_begins(10.0, 7.0)
                # An order that lacks everything is refused, and counts.
                used = await spend("POST", "/fapi/v1/order", COUNT_HEADER, 1)
                await spend("POST", "/fapi/v1/order", COUNT_HEADER, EXPECTED_LIMITS["orders_10s"] - orders_left - used)

    async def refusals(self) -> int:
        return sum((await self.limits())["refusals"].values())

    async def requests_seen(self) -> int:
        return (await self.limits())["requests"].get(CONNECTOR_ADDRESS, 0)


async def _window_begins(length_s: float, left_s: float) -> None:
    """Return when at least `left_s` are left of the venue's window, which begins at every multiple of its length."""
    left = length_s - SYSTEM_CLOCK.now_ns() / 1e9 % length_s
    if left < left_s:
        await asyncio.sleep(left + 0.05)


def _fill(row: dict[str, Any]) -> VenueFill:
    return VenueFill(
        str(row["id"]),
        str(row["orderId"]),
        TradeType[row["side"]],
        Decimal(row["price"]),
        Decimal(row["qty"]),
        Decimal(row["commission"]),
    )


def _conditional(row: dict[str, Any]) -> VenueOrder:
    """One that has placed no order. The connector's word for its id tells it from ids of orders."""
    return VenueOrder(
        row["clientAlgoId"],
        f"algo-{row['algoId']}",
        CONDITIONAL_STATES[row["algoStatus"]],
        Decimal(row["quantity"]),
        Decimal(0),
        Decimal(row["price"]),
        bool(row["reduceOnly"]),
        row["timeInForce"],
    )


def _order(row: dict[str, Any]) -> VenueOrder:
    return VenueOrder(
        row["clientOrderId"],
        str(row["orderId"]),
        STATES[row["status"]],
        Decimal(row["origQty"]),
        Decimal(row["executedQty"]),
        Decimal(row["price"]),
        bool(row["reduceOnly"]),
        row["timeInForce"],
    )


class BinanceTarget(Target):
    """Binance USD-M on the embedded venue, in a process of its own."""

    name = "binance"
    trading_pair = PAIR
    quote_asset = QUOTE
    order_paths = ("rest", "websocket")
    connector_class = BinancePerpetual

    @asynccontextmanager
    async def venue(self, order_path: str) -> AsyncIterator[BinanceHand]:
        accounts = [f"--account={account.key}:{account.secret}::{BALANCE}" for account in (TESTED, COUNTERPARTY)]
        with tempfile.TemporaryDirectory() as directory:
            recording = Path(directory) / "quiet.gz"
            await asyncio.to_thread(write_quiet_market, recording)
            options = ["--speak", "binance", "--recording", str(recording), *accounts]
            # From an address of its own: what the hand does must not count in the connector's limits.
            connector = aiohttp.TCPConnector(local_addr=(HAND_ADDRESS, 0))
            async with VenueProcess(options) as venue, aiohttp.ClientSession(connector=connector) as session:
                yield BinanceHand(venue.endpoints, session, order_path)

    def make_connector(
        self,
        hand: VenueHand,
        order_path: str,
        account: Account | None = None,
        journal: OrderJournalBase | None = None,
        trading_pairs: list[str] | None = None,
        **options: Any,
    ) -> BinancePerpetual:
        assert isinstance(hand, BinanceHand)
        account = account or TESTED
        names = ("rest", "ws_public", "ws_market", "ws_private", "ws_trade")
        return self.connector_class(
            account.key,
            account.secret,
            [PAIR] if trading_pairs is None else trading_pairs,
            order_path=order_path,
            journal=journal,
            **options,
            **{f"{name}_url": hand.endpoints[name] for name in names},
        )

    def has_order_path(self, connector: PerpetualDerivativeBase) -> bool:
        stream = getattr(connector, "_order_stream", None)
        return stream is None or (stream.is_live and not stream.is_failing)
