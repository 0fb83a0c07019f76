"""Binance's market and user streams: what is pushed to whom, and the SUBSCRIBE protocol.

Paths: `/ws`, `/stream` and the same under `/public`, `/market`, `/private`, with stream names in the path, in
`?streams=` or by SUBSCRIBE. The three hosts' division of streams is not enforced: every path serves every
stream. Pushes on a `/stream` path are wrapped `{"stream", "data"}`, on `/ws` they are raw. As at Binance,
a name that does not exist is accepted and stays silent.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import WSMsgType, web

from qtxconn.sim.binance import codec
from qtxconn.sim.binance.account_view import account_update, margin_call
from qtxconn.sim.binance.conditional import algo_update
from qtxconn.sim.binance.connections import BACKLOG_MAX_BYTES, Connection, text_frame
from qtxconn.sim.binance.fault_gate import StreamGate
from qtxconn.sim.binance.market_history import INTERVALS_MS, DayFigures, MarketHistory, kline_event
from qtxconn.sim.model import DepthUpdate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from qtxconn.sim.account import Account, SimPosition
    from qtxconn.sim.binance.listen_keys import ListenKey, ListenKeys
    from qtxconn.sim.conditional import ConditionalOrder
    from qtxconn.sim.faults import FaultScript
    from qtxconn.sim.model import (
        BookTicker,
        Execution,
        ExecutionType,
        Instrument,
        MarketTrade,
        SimOrder,
    )
    from qtxconn.sim.venue import Venue

# Stream suffix -> batching interval in ms; 0 is every update at once (recordings are made with @0ms).
DEPTH_INTERVALS_MS = {
    "depth@0ms": 0,
    "depth@100ms": 100,
    "depth": 250,
    "depth@250ms": 250,
    "depth@500ms": 500,
}
MARK_PRICE_INTERVALS_S = {"markPrice@1s": 1, "markPrice": 3}
# The best levels of a book, whole, every so often.
PARTIAL_DEPTH_INTERVALS_S = {"": 0.25, "@100ms": 0.1, "@250ms": 0.25, "@500ms": 0.5}
PARTIAL_DEPTHS = (5, 10, 20)
KLINE_INTERVAL_S = 0.25
TICKER_INTERVAL_S = 1.0
STREAMS_PER_CONNECTION_MAX = 1024


class DepthBatch:
    """Depth updates of one symbol up to the next beat: the last quantity of each level, ids chained."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self._first: DepthUpdate | None = None
        self._last: DepthUpdate | None = None

    @property
    def is_empty(self) -> bool:
        return self._first is None

    def add(self, update: DepthUpdate) -> None:
        self._first = self._first or update
        self._last = update
        self._bids.update(update.bids)
        self._asks.update(update.asks)

    def take(self) -> dict[str, Any] | None:
        """The depthUpdate of everything since the last call, None when nothing happened."""
        first, last = self._first, self._last
        if first is None or last is None:
            return None
        bids, asks = sorted(self._bids.items()), sorted(self._asks.items())
        self._bids.clear()
        self._asks.clear()
        self._first = self._last = None
        return codec.depth_event(self.instrument, last, bids, asks, first.first_id, first.prev_id)


class StreamConnection:
    """What one client listens to. `wrapped` says whether its pushes carry the stream's name."""

    def __init__(self, connection: Connection, wrapped: bool) -> None:
        self.connection = connection
        self.wrapped = wrapped
        self.streams: set[str] = set()


class Streams:
    """Market and account listener of the venue, and the WebSocket endpoint of its streams."""

    def __init__(
        self,
        venue: Venue,
        listen_keys: ListenKeys,
        history: MarketHistory,
        faults: FaultScript,
        backlog_max: int = BACKLOG_MAX_BYTES,
    ) -> None:
        self._venue = venue
        self._history = history
        self._gate = StreamGate(faults, self._deliver)
        self._clock = venue.clock
        self._listen_keys = listen_keys
        self._backlog_max = backlog_max
        self._subscribers: defaultdict[str, set[StreamConnection]] = defaultdict(set)
        self._clients: set[StreamConnection] = set()
        # Listen keys may be limited to some event types (`events=` in the URL); no entry means all.
        self._events: dict[tuple[StreamConnection, str], frozenset[str]] = {}
        self._batches: dict[str, tuple[int, DepthBatch]] = {}
        self._funding_seen: dict[str, Decimal] = {}
        self._prefix = {symbol: f"{symbol.lower()}@" for symbol in venue.instruments}
        self._depth_streams = {
            f"{prefix}{suffix}": (interval, venue.instruments[symbol])
            for symbol, prefix in self._prefix.items()
            for suffix, interval in DEPTH_INTERVALS_MS.items()
        }
        self._periodic = self._periodic_streams()
        self._beating: set[str] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started_s = 0.0
        self._next_second: asyncio.TimerHandle | None = None
        self.disconnected_slow = 0

    def start(self) -> None:
        """Begins listening. Needs a running loop."""
        self._loop = asyncio.get_running_loop()
        self._started_s = self._loop.time()
        self._on_second(0)
        self._venue.add_market_listener(self)
        self._venue.add_account_listener(self)
        self._venue.add_notice_listener(self)
        self._listen_keys.on_expired = self._on_listen_key_expired

    @property
    def connections(self) -> list[Connection]:
        """Everybody who listens."""
        return [client.connection for client in self._clients]

    async def stop(self) -> None:
        """Ends what happens every second and says goodbye to every client."""
        if self._next_second is not None:
            self._next_second.cancel()
        await asyncio.gather(
            *(c.socket.close(code=1001, message=b"venue stops") for c in self.connections),
            return_exceptions=True,
        )

    def _next_beat(self, interval_s: float) -> int:
        """The number of the next multiple of `interval_s` since the start."""
        assert self._loop is not None
        return int((self._loop.time() - self._started_s) / interval_s) + 1

    def _on_second(self, number: int) -> None:
        """What is due in whole seconds; those missed while the venue was busy are left out."""
        assert self._loop is not None
        following = max(number + 1, self._next_beat(1.0))
        self._next_second = self._loop.call_at(self._started_s + following, self._on_second, following)
        self._listen_keys.expire()
        for suffix, interval_s in MARK_PRICE_INTERVALS_S.items():
            if number % interval_s == 0:
                self._push_mark_prices(suffix)

    # -- the market speaks ----------------------------------------------------------------------------------

    def on_depth(self, symbol: str, update: DepthUpdate) -> None:
        for name, (interval_ms, batch) in self._batches.items():
            if batch.instrument.symbol == symbol:
                if batch.is_empty:
                    due_s = self._started_s + self._next_beat(interval_ms / 1000) * interval_ms / 1000
                    self._loop.call_at(due_s, self._flush_depth, name, batch)  # type: ignore[union-attr]
                batch.add(update)
        name = self._prefix[symbol] + "depth@0ms"
        if name in self._subscribers:
            instrument = self._venue.instruments[symbol]
            event = codec.depth_event(instrument, update, update.bids, update.asks, update.first_id, update.prev_id)
            self._push(name, event)

    def on_ticker(self, symbol: str, ticker: BookTicker) -> None:
        for name in (self._prefix[symbol] + "bookTicker", "!bookTicker"):
            if name in self._subscribers:
                self._push(name, codec.book_ticker_event(self._venue.instruments[symbol], ticker))

    def on_trade(self, symbol: str, trade: MarketTrade) -> None:
        for suffix, build in (("trade", codec.trade_event), ("aggTrade", codec.agg_trade_event)):
            name = self._prefix[symbol] + suffix
            if name in self._subscribers:
                event = build(self._venue.instruments[symbol], trade, self._clock.now_ms())
                self._push(name, event)

    def _flush_depth(self, name: str, batch: DepthBatch) -> None:
        event = batch.take()
        if event is not None and name in self._subscribers:
            self._push(name, event)

    def _push_mark_prices(self, suffix: str) -> None:
        now_ms = self._clock.now_ms()
        for symbol, prefix in self._prefix.items():
            if prefix + suffix in self._subscribers:
                self._push(prefix + suffix, codec.mark_price_event(self._venue, symbol, now_ms))
        name = suffix.replace("markPrice", "!markPrice@arr")
        if name in self._subscribers:
            self._push(name, [codec.mark_price_event(self._venue, symbol, now_ms) for symbol in self._prefix])

    # -- streams that beat while somebody listens -----------------------------------------------------------

    def _periodic_streams(self) -> dict[str, tuple[float, Callable[[], Any]]]:
        """Stream -> interval in seconds, and its next event (None: nothing to say)."""
        streams: dict[str, tuple[float, Callable[[], Any]]] = {}
        for symbol, prefix in self._prefix.items():
            for interval in INTERVALS_MS:
                build = partial(self._kline, symbol, interval)
                streams[f"{prefix}kline_{interval}"] = (KLINE_INTERVAL_S, build)
            for levels in PARTIAL_DEPTHS:
                for suffix, interval_s in PARTIAL_DEPTH_INTERVALS_S.items():
                    streams[f"{prefix}depth{levels}{suffix}"] = (interval_s, partial(self._depth, symbol, levels))
            streams[f"{prefix}ticker"] = (TICKER_INTERVAL_S, partial(self._ticker, symbol))
            streams[f"{prefix}miniTicker"] = (TICKER_INTERVAL_S, partial(self._mini_ticker, symbol))
        streams["!ticker@arr"] = (TICKER_INTERVAL_S, lambda: [self._ticker(symbol) for symbol in self._prefix])
        streams["!miniTicker@arr"] = (TICKER_INTERVAL_S, lambda: [self._mini_ticker(symbol) for symbol in self._prefix])
        return streams

    def _schedule(self, name: str) -> None:
        interval_s = self._periodic[name][0]
        due_s = self._started_s + self._next_beat(interval_s) * interval_s
        self._loop.call_at(due_s, self._on_beat, name)  # type: ignore[union-attr]

    def _on_beat(self, name: str) -> None:
        if name not in self._subscribers:
            self._beating.discard(name)
            return
        if (event := self._periodic[name][1]()) is not None:
            self._push(name, event)
        self._schedule(name)

    def _kline(self, symbol: str, interval: str) -> dict[str, Any] | None:
        candle = self._history.last_candle(symbol, interval)
        if candle is None:
            return None
        return kline_event(self._venue.instruments[symbol], candle, interval, self._clock.now_ms())

    def _day(self, symbol: str) -> DayFigures:
        return DayFigures.of(self._history, self._venue.instruments[symbol], self._clock.now_ms())

    def _ticker(self, symbol: str) -> dict[str, Any]:
        return self._day(symbol).to_event(symbol, self._clock.now_ms())

    def _mini_ticker(self, symbol: str) -> dict[str, Any]:
        return self._day(symbol).to_mini_event(symbol, self._clock.now_ms())

    def _depth(self, symbol: str, levels: int) -> dict[str, Any]:
        now_ms = self._clock.now_ms()
        bids, asks, last_id = self._venue.depth(symbol, levels)
        update = DepthUpdate(last_id, last_id, last_id - 1, bids, asks, now_ms, now_ms)
        return codec.depth_event(self._venue.instruments[symbol], update, bids, asks, last_id, last_id - 1)

    # -- an account speaks ----------------------------------------------------------------------------------

    def on_order(
        self, account: Account, order: SimOrder, execution_type: ExecutionType, execution: Execution | None
    ) -> None:
        key = self._listen_keys.key(account)
        if key is None or key not in self._subscribers:
            return
        instrument, now_ms = self._venue.instruments[order.symbol], self._clock.now_ms()
        if execution is not None:
            self._push(key, codec.trade_lite(instrument, execution, now_ms))
        self._push(key, codec.order_trade_update(instrument, order, execution_type, execution, now_ms))

    def on_account(
        self, account: Account, reason: str, assets: list[tuple[str, Decimal]], positions: list[SimPosition]
    ) -> None:
        funding = account.funding_received - self._funding_seen.get(account.api_key, Decimal(0))
        self._funding_seen[account.api_key] = account.funding_received
        key = self._listen_keys.key(account)
        if key is None or key not in self._subscribers:
            return
        marks = {position.symbol: self._venue.mark_price(position.symbol) for position in positions}
        now_ms = self._clock.now_ms()
        changes = {account.quote: funding}
        self._push(key, account_update(account, reason, assets, positions, marks, changes, now_ms))

    def on_leverage(self, account: Account, symbol: str, leverage: int) -> None:
        self._push_to(account, codec.account_config_update(symbol, leverage, self._clock.now_ms()))

    def on_conditional(self, order: ConditionalOrder) -> None:
        instrument = self._venue.instruments[order.symbol]
        self._push_to(order.account, algo_update(instrument, order, self._clock.now_ms()))

    def on_margin_call(self, account: Account, positions: list[SimPosition]) -> None:
        marks = {position.symbol: self._venue.mark_price(position.symbol) for position in positions}
        self._push_to(account, margin_call(account, positions, marks, self._clock.now_ms()))

    def on_forced_order(self, order: SimOrder) -> None:
        event = codec.force_order_event(self._venue.instruments[order.symbol], order, self._clock.now_ms())
        for name in (self._prefix[order.symbol] + "forceOrder", "!forceOrder@arr"):
            if name in self._subscribers:
                self._push(name, event)

    def _push_to(self, account: Account, event: dict[str, Any]) -> None:
        key = self._listen_keys.key(account)
        if key is not None and key in self._subscribers:
            self._push(key, event)

    def _on_listen_key_expired(self, entry: ListenKey) -> None:
        now_ms = self._clock.now_ms()
        if entry.key in self._subscribers:
            self._push(entry.key, {"e": "listenKeyExpired", "E": now_ms, "listenKey": entry.key})

    # -- pushing --------------------------------------------------------------------------------------------

    def _push(self, name: str, event: dict[str, Any] | list[Any]) -> None:
        """Every push goes through the fault script. A listen key is the one name without an '@' or a '!'."""
        self._gate.push(name, event, is_private="@" not in name and "!" not in name)

    def _deliver(self, name: str, event: dict[str, Any] | list[Any], torn: bool) -> None:
        """Encodes `event` once and frames it at most twice (raw and wrapped), however many listen."""
        payload = orjson.dumps(event)
        raw = wrapped = b""
        for client in list(self._subscribers.get(name, ())):
            wanted = self._events.get((client, name))
            if wanted is not None and isinstance(event, dict) and event["e"] not in wanted:
                continue
            if client.wrapped:
                wrapped = wrapped or text_frame(b'{"stream":' + orjson.dumps(name) + b',"data":' + payload + b"}")
            else:
                raw = raw or text_frame(payload)
            frame = wrapped if client.wrapped else raw
            (client.connection.tear if torn else client.connection.send)(frame)

    # -- clients --------------------------------------------------------------------------------------------

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """One stream connection, from handshake to goodbye."""
        connection = await Connection.accept(request, self._backlog_max)
        client = StreamConnection(connection, wrapped="stream" in request.path.split("/")[1:3])
        self._clients.add(client)
        try:
            self._subscribe_from_url(client, request)
            async for message in connection.socket:
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    answer = self._answer(client, message.data)
                    connection.send(text_frame(orjson.dumps(answer)))
        finally:
            self._clients.discard(client)
            self._unsubscribe(client, list(client.streams))
            self.disconnected_slow += connection.overflowed
        return connection.socket

    def _subscribe_from_url(self, client: StreamConnection, request: web.Request) -> None:
        names = [name for name in request.match_info.get("names", "").split("/") if name]
        names += [name for name in request.query.get("streams", "").split("/") if name]
        if key := request.query.get("listenKey"):
            names.append(key)
            if events := request.query.get("events"):
                self._events[client, key] = frozenset(events.split("/"))
        # A bare number (`/public/ws/0`) only tells a client's connections apart.
        self._subscribe(client, [name for name in names if not name.isdigit()][:STREAMS_PER_CONNECTION_MAX])

    def _subscribe(self, client: StreamConnection, names: Iterable[str]) -> None:
        for name in names:
            client.streams.add(name)
            self._subscribers[name].add(client)
            if name in self._depth_streams and name not in self._batches:
                interval, instrument = self._depth_streams[name]
                if interval:
                    self._batches[name] = (interval, DepthBatch(instrument))
            if name in self._periodic and name not in self._beating:
                self._beating.add(name)
                self._schedule(name)

    def _unsubscribe(self, client: StreamConnection, names: Iterable[str]) -> None:
        for name in names:
            client.streams.discard(name)
            self._events.pop((client, name), None)
            clients = self._subscribers.get(name)
            if clients is None:
                continue
            clients.discard(client)
            if not clients:
                del self._subscribers[name]
                self._batches.pop(name, None)

    def _answer(self, client: StreamConnection, data: str | bytes) -> dict[str, Any]:
        """The answer to one request of the SUBSCRIBE protocol; `id` may be any JSON value and comes back."""
        try:
            request = orjson.loads(data)
        except orjson.JSONDecodeError:
            return _protocol_error(3, "Invalid JSON: expected value at line 1 column 1")
        if not isinstance(request, dict):
            return _protocol_error(2, "Invalid request: expected a JSON object")
        method, params, request_id = request.get("method"), request.get("params", []), request.get("id")
        if method == "LIST_SUBSCRIPTIONS":
            return {"result": sorted(client.streams), "id": request_id}
        if method not in ("SUBSCRIBE", "UNSUBSCRIBE"):
            text = f"Invalid request: unknown variant `{str(method)[:64]}`, expected one of `SUBSCRIBE`, "
            return _protocol_error(2, text + "`UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`", request_id)
        if not isinstance(params, list) or not all(isinstance(name, str) for name in params):
            return _protocol_error(1, "Invalid value type: expected an array of strings", request_id)
        if method == "UNSUBSCRIBE":
            self._unsubscribe(client, params)
        elif len(client.streams.union(params)) > STREAMS_PER_CONNECTION_MAX:
            return _protocol_error(2, "Invalid request: too many parameters", request_id)
        else:
            self._subscribe(client, params)
        return {"result": None, "id": request_id}


def _protocol_error(code: int, msg: str, request_id: Any = None) -> dict[str, Any]:
    return {"error": {"code": code, "msg": msg}, "id": request_id}
