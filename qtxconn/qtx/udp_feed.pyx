"""Market data from a QTX server: `UdpFeed` subscribes over UDP and keeps order books up to date."""

import asyncio
import logging
import os
from collections.abc import Mapping
from typing import NamedTuple

cimport cython
from cython.operator cimport dereference as deref
from libc.stdint cimport int64_t, uint8_t
from libcpp cimport bool as cbool

from qtxconn.core.clock cimport Clock
from qtxconn.core.order_book cimport OrderBook
from qtxconn.perf.latency cimport LatencyRecorder
from qtxconn.qtx.feed_core cimport (
    DepthSemantics,
    Feed,
    FeedNews,
    FeedOptions,
    FeedStatistics,
    FeedText,
    HeaderLayout,
    LivenessLimits,
    NewsKind,
    PacketView,
    Reject,
    c_parse_packet,
)
from qtxconn.qtx.feed_link cimport FeedLink
from qtxconn.qtx.strategy cimport FeedHandler, Strategy

from qtxconn.core.clock import SYSTEM_CLOCK
from qtxconn.errors import ConfigurationError, MessageError, NetworkError, RequestTimeoutError
from qtxconn.net.backoff import Backoff
from qtxconn.qtx.feed_link import SEQUENCE_RULES, STATE_NAMES
from qtxconn.qtx.feed_queues import OVERFLOWS, DiffMessage, FeedQueue, TradeMessage

_logger = logging.getLogger("qtxconn.qtx.feed")

_REJECT_NAMES = (
    "none", "too_short", "bad_length", "bad_count", "unknown_type", "bad_number", "unknown_index", "off_grid", "stale",
    "unexpected_text",
)
_DRIVERS = ("asyncio", "thread", "manual")
_HEADER_LAYOUTS = {"sdk": <int>HeaderLayout.sdk, "legacy": <int>HeaderLayout.legacy}
_DEPTH_SEMANTICS = {"merge": <int>DepthSemantics.merge, "replace": <int>DepthSemantics.replace}
_TROUBLE_TEXTS = {
    "silence": "nothing is received",
    "noise": "nothing that is received can be understood",
    "quiet": "no update for too long",
    "no_full_depth": "no full depth message",
    "loss": "messages were lost",
    "overflow": "its queue overflowed",
    "unsubscribed": "not subscribed",
}
_SERVER_IS_GONE = ("silence", "noise")

_SYMBOL_BYTES_MAX = 64            # limit of the C SDK
_POLL_MAX = 1024                  # datagrams before the event loop gets its turn again
_SUBSCRIBE_ATTEMPTS = 3           # a request or its answer can be lost: this is UDP
_SUBSCRIBE_WINDOW = 32            # requests without an answer: their full depth messages have to fit a socket's buffer
_TICK_S = 0.1                     # of the housekeeping
_BACKOFF_FIRST_S, _BACKOFF_MAX_S = 0.2, 10.0
_HEALTHY_AFTER_NS = 10 * 10**9    # without trouble, before the waits start small again
_FULL_DEPTH_TIMEOUT_NS = 2 * 10**9


class QtxPacket(NamedTuple):
    """One market-data message. Prices and sizes are the wire's doubles; times and `sn_id` as the protocol has them.

    `type` is 1 or -1 (ticker bid, ask), 2 (depth), 3 or -3 (trade by a buyer, seller). A ticker or trade has its one
    level in `bids` (ticker bid, trade by a buyer) or `asks`.
    """

    type: int
    index: int
    tx_ms: int
    event_ms: int
    local_ns: int
    sn_id: int
    asks: list[tuple[float, float]]
    bids: list[tuple[float, float]]


def parse_packet(bytes datagram not None, str header_layout="sdk") -> QtxPacket:
    """Reads one datagram, for tools and tests. Raises MessageError naming the reason (see get_statistics)."""
    cdef PacketView view
    cdef HeaderLayout layout = <HeaderLayout><int>_HEADER_LAYOUTS[
        _choice("header_layout", header_layout, _HEADER_LAYOUTS)]
    cdef const char* data = datagram
    cdef Reject reason = c_parse_packet(<const uint8_t*>data, <size_t>len(datagram), layout, view)
    if reason != Reject.none:
        raise MessageError(f"no QTX datagram: {_REJECT_NAMES[<int>reason]}")
    cdef size_t i
    cdef int kind = <int>view.type
    asks, bids = [], []
    if kind == 2:
        for i in range(view.ask_count):
            asks.append((view.ask(i).price, view.ask(i).size))
        for i in range(view.bid_count):
            bids.append((view.bid(i).price, view.bid(i).size))
    else:
        (bids if kind > 0 else asks).append((view.level(0).price, view.level(0).size))
    return QtxPacket(kind, view.index, view.tx_ms, view.event_ms, view.local_ns, view.sn_id, asks, bids)


def _choice(str key, str value, choices) -> str:
    if value not in choices:
        raise ConfigurationError(f"{key} is {value!r}; it must be one of {', '.join(choices)}")
    return value


class _Subscription:
    """One pair on the feed."""

    def __init__(self, str trading_pair, str symbol, book, int number) -> None:
        self.trading_pair = trading_pair
        self.symbol = symbol              # as the feed names it
        self.book = book
        self.number = number
        self.socket = -1                  # -1: not subscribed at present
        self.requests = None              # the _Requests that this one is waited for in
        self.outcome = None               # of the last request: bool (has its index) or the server's refusal
        self.subscribing = False          # a task does: housekeeping leaves it alone
        self.bound_ns = 0                 # monotonic time of the last answer
        self.retry_ns = 0                 # monotonic time before which no renewal starts
        self.backoff = Backoff(_BACKOFF_FIRST_S, _BACKOFF_MAX_S)
        self.diffs = None                 # FeedQueue
        self.trades = None                # FeedQueue


class _Requests:
    """Subscriptions that are waited for together."""

    def __init__(self, entries) -> None:
        self.waiting = set(entries)
        self.done = asyncio.Event()


@cython.no_gc_clear  # the receiving thread may be calling the strategy until it has been joined
cdef class UdpFeed:
    """Subscribes to a QTX server and applies its datagrams to order books.

    `driver`: "asyncio" receives when the event loop sees data, "thread" receives in a thread without the GIL (on core
    `cpu` if that is not negative) that spins for `spin_ns`, yields for `yield_ns` and then blocks until data comes, and
    "manual" receives only in `poll()`.

    `on_book(trading_pair)` and `on_trade(trading_pair, price, size, is_buy, time_s)` are always called on the event
    loop's thread; a book that changed often meanwhile is reported once. Code that must not wait for the event loop is
    called inside the receive loop: see `set_strategy()`. `subscribe_and_get_queues()` gives each message in a queue.

    `sequence`: "contiguous", "monotonic", or a rule for each prefix, as in {"okx-futures": "monotonic"}; prefixes that
    it does not name are contiguous. `multicast_group`: "239.1.2.3:5007" if the data comes to a group, joined on the
    interface with the address `multicast_interface`; subscriptions still go to `host` and `port`.

    What came from another address than the server's, malformed datagrams, repeats and steps back cost a counter. A loss
    makes the book invalid ("gap") until a new subscription, made by itself, has brought a full depth message. A pair is
    STALE without an update for `stale_after_s`, and DEAD when its whole socket brings nothing for that long, or it
    alone for `dead_after_s`: then its book is invalid ("disconnected") and it is subscribed anew. When all pairs are
    dead for want of data the feed reconnects as a whole. Attempts are spaced by full-jitter backoff.
    """

    def __init__(
        self,
        str host not None,
        int port,
        *,
        Clock clock=SYSTEM_CLOCK,
        str driver="asyncio",
        str header_layout="sdk",
        str depth_semantics="merge",
        object sequence="contiguous",
        str multicast_group=None,
        str multicast_interface="0.0.0.0",
        int receive_buffer_bytes=4 * 1024 * 1024,
        int symbols_per_socket=100,
        double subscribe_timeout_s=1.0,
        double stale_after_s=10.0,
        double dead_after_s=60.0,
        int cpu=-1,
        int64_t spin_ns=50_000,
        int64_t yield_ns=500_000,
    ):
        if not 1 <= port <= 65535:
            raise ConfigurationError(f"the feed's port is {port}; it must be 1..65535")
        if symbols_per_socket < 1 or subscribe_timeout_s <= 0 or stale_after_s <= 0:
            raise ConfigurationError("symbols_per_socket, subscribe_timeout_s and stale_after_s must be positive")
        if dead_after_s < stale_after_s:
            raise ConfigurationError(f"dead_after_s is {dead_after_s}; it must be at least stale_after_s")
        if cpu >= (os.cpu_count() or 1):
            raise ConfigurationError(f"cpu is {cpu}; this machine has cores 0..{(os.cpu_count() or 1) - 1}")
        self.driver = _choice("driver", driver, _DRIVERS)
        self.state = "stopped"
        cdef FeedOptions options
        options.header_layout = <HeaderLayout><int>_HEADER_LAYOUTS[
            _choice("header_layout", header_layout, _HEADER_LAYOUTS)]
        options.depth_semantics = <DepthSemantics><int>_DEPTH_SEMANTICS[
            _choice("depth_semantics", depth_semantics, _DEPTH_SEMANTICS)]
        rules = sequence if isinstance(sequence, Mapping) else {"": sequence}
        self._sequence = {prefix: _choice("sequence", rule, SEQUENCE_RULES) for prefix, rule in rules.items()}
        self._spin_ns = spin_ns
        self._yield_ns = yield_ns
        self._clock = clock
        self._cpu = cpu
        self._subscribe_timeout_s = subscribe_timeout_s
        self._subscriptions = {}
        self._by_number = []
        self._left = set()
        self._pings = []
        self._renewals = set()
        self._backoff = Backoff(_BACKOFF_FIRST_S, _BACKOFF_MAX_S)
        cdef LivenessLimits limits
        limits.stale_ns = <int64_t>(stale_after_s * 1e9)
        limits.dead_ns = <int64_t>(dead_after_s * 1e9)
        limits.full_depth_ns = _FULL_DEPTH_TIMEOUT_NS
        limits.heals_itself = depth_semantics == "replace"
        self._link = FeedLink(
            host, port, multicast_group, multicast_interface, receive_buffer_bytes, symbols_per_socket)
        self._link.c_init(options, limits)
        self._feed = self._link.c_feed()

    @property
    def host(self) -> str:
        return self._link.host

    @property
    def port(self) -> int:
        return self._link.port

    def __repr__(self) -> str:
        return (
            f"UdpFeed({self.host!r}, {self.port}, driver={self.driver!r}, symbols={len(self._subscriptions)}, "
            f"{self.state})"
        )

    cdef Feed* c_feed(self) noexcept nogil:
        return self._feed

    cdef int c_poll(self, int max_n) noexcept nogil:
        return self._feed.poll(max_n)

    cdef void c_set_handler(self, FeedHandler handler) noexcept:
        with nogil:
            self._feed.set_handler(handler)

    def set_strategy(self, Strategy strategy) -> None:
        """From now on `strategy` is called inside the receive loop; None ends that."""
        cdef FeedHandler handler
        if strategy is not None:
            for entry in self._subscriptions.values():
                strategy.c_add_book(entry.number, entry.book)
            handler = strategy.c_handler()
        self.c_set_handler(handler)  # the one before is not called any more when this returns
        self._strategy = strategy

    # -- life cycle --------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Starts the driver and the housekeeping. Raises NetworkError if the host has no IPv4 address."""
        if self._loop is not None:
            return
        loop = asyncio.get_running_loop()
        await self._link.find_server(loop)
        self._loop = loop
        self._connected_ns = self._rate_since_ns = self._clock.c_monotonic_ns()
        if self.driver == "asyncio":
            loop.add_reader(self._feed.fd(), self._on_readable)
        elif self.driver == "thread":
            loop.add_reader(self._feed.event().fd(), self._on_event)
            if not self._feed.start_thread(self._cpu, self._spin_ns, self._yield_ns):
                loop.remove_reader(self._feed.event().fd())
                self._loop = None
                raise NetworkError("cannot start the feed's thread")
        self.state = "connected"
        self._housekeeping = loop.create_task(self._keep_house(), name="qtx feed housekeeping")

    async def stop(self) -> None:
        """Unsubscribes from everything and closes all sockets; the books become invalid. May be called twice."""
        if self._loop is None:
            return
        tasks = [self._housekeeping, *self._renewals]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._housekeeping = None
        for pair in list(self._subscriptions):
            self.unsubscribe(pair)
        if self.driver == "thread":
            with nogil:
                self._feed.stop_thread()
            self._loop.remove_reader(self._feed.event().fd())
        elif self.driver == "asyncio":
            self._loop.remove_reader(self._feed.fd())
        self._link.close_all()
        self._left.clear()
        self._loop = None
        self.state = "stopped"

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *exc_info) -> None:
        await self.stop()

    # -- requests ----------------------------------------------------------------------------------------------

    async def subscribe(self, str symbol not None, OrderBook book not None) -> None:
        """Subscribes `symbol` ("binance-futures:btcusdt"); its data goes to `book`, named by the book's trading pair.

        Returns with the server's answer. Raises RequestTimeoutError if none comes.
        """
        await self.subscribe_many({symbol: book})

    async def subscribe_many(self, books not None) -> None:
        """Subscribes many at once: {symbol: book}. If one fails, its error is raised and none of them is subscribed."""
        if self._loop is None:
            raise NetworkError("the feed is not started: call start() first")
        entries = [self._add(symbol, book) for symbol, book in self._checked(books).items()]
        await self._subscribe(entries)

    async def _subscribe(self, entries) -> None:
        for entry in entries:
            entry.subscribing = True
        try:
            for error in (await self._request(entries)).values():
                raise error
        except BaseException:
            for entry in entries:
                self.unsubscribe(entry.trading_pair)
            raise
        finally:
            for entry in entries:
                entry.subscribing = False

    async def subscribe_and_get_queues(
        self, str symbol not None, OrderBook book not None, int maxsize=1000, str overflow="conflate"
    ) -> dict:
        """Subscribes as `subscribe()`, and gives each message as well: {"diff": queue, "trade": queue}.

        The queues hold DiffMessage (one a depth message) and TradeMessage, at most `maxsize` of each; `overflow`
        ("conflate", "drop_oldest" or "block") is what happens to more: see FeedQueue. The first diff is a whole book.
        """
        _choice("overflow", overflow, OVERFLOWS)
        if maxsize < 1:
            raise ConfigurationError(f"maxsize is {maxsize}; it must be at least 1")
        if self._loop is None:
            raise NetworkError("the feed is not started: call start() first")
        [(symbol, book)] = self._checked({symbol: book}).items()
        entry = self._add(symbol, book)
        entry.diffs = FeedQueue(maxsize, overflow, self._on_room)
        entry.trades = FeedQueue(maxsize, overflow, self._on_room)
        self._feed.symbol(entry.number).wants_diffs.set(True)
        if overflow == "block":
            self._feed.set_blocking(True)
        await self._subscribe([entry])
        return {"diff": entry.diffs, "trade": entry.trades}

    def _checked(self, books) -> dict:
        pairs = set(self._subscriptions)
        for symbol, book in books.items():
            if not 0 < len(symbol.encode()) <= _SYMBOL_BYTES_MAX:
                raise ConfigurationError(f"feed symbol {symbol!r} must have 1 to {_SYMBOL_BYTES_MAX} bytes")
            if book.trading_pair in pairs:
                raise ConfigurationError(f"{book.trading_pair} is subscribed already")
            pairs.add(book.trading_pair)
        return books

    def _add(self, str symbol, OrderBook book):
        prefix = symbol.partition(":")[0]
        rule = self._sequence.get(prefix) or self._sequence.get("", "contiguous")
        entry = _Subscription(book.trading_pair, symbol, book, self._link.add_symbol(book, rule))
        self._by_number.append(entry)
        self._subscriptions[entry.trading_pair] = entry
        if self._strategy is not None:
            self._strategy.c_add_book(entry.number, book)
        return entry

    def unsubscribe(self, str trading_pair not None) -> None:
        """Gives up a pair: from now on nothing reaches its book, which becomes invalid."""
        entry = self._subscriptions.pop(trading_pair, None)
        if entry is None:
            return
        self._link.unbind(entry, True)
        self._leave_socket(entry)

    async def ping(self, double timeout_s=1.0) -> bool:
        """Whether the server says anything to a ping in time. Silence is not an error."""
        if self._loop is None:
            raise NetworkError("the feed is not started: call start() first")
        answered = self._loop.create_future()
        self._pings.append(answered)
        self._link.send(next(iter(self._link.sockets)) if self._link.sockets else self._link.open_socket(), "ping")
        try:
            await asyncio.wait_for(answered, timeout_s)
        except asyncio.TimeoutError:
            return False
        finally:
            if answered in self._pings:
                self._pings.remove(answered)
        return True

    async def _request(self, entries) -> dict:
        """Subscribes pairs, each on a socket that has not carried it before. -> {entry: error} of those that failed."""
        failed = {}
        entries = list(entries)
        for begin in range(0, len(entries), _SUBSCRIBE_WINDOW):
            window = entries[begin:begin + _SUBSCRIBE_WINDOW]
            await self._ask(window, None)
            for entry in window:
                if entry.outcome is False:  # the index is another pair's on that socket: ask on one without a past
                    self._leave_socket(entry)
                    await self._ask([entry], self._link.open_socket())
                error = self._error_of(entry)
                if error is not None:
                    self._leave_socket(entry)
                    failed[entry] = error
        return failed

    def _error_of(self, entry):
        if entry.outcome is True:
            return None
        if isinstance(entry.outcome, Exception):
            return entry.outcome
        if entry.outcome is False:
            return NetworkError(f"{self.host}:{self.port} gave {entry.symbol} an index in use or too large")
        return RequestTimeoutError(
            f"{self.host}:{self.port} did not answer the subscription of {entry.symbol} "
            f"({_SUBSCRIBE_ATTEMPTS} times {self._subscribe_timeout_s} s): check host and port, and that it knows "
            "the symbol"
        )

    async def _ask(self, entries, fresh_socket) -> None:
        """Requests, and requests again what is not answered in time; the outcomes are in the entries."""
        requests = _Requests(entries)
        try:
            for entry in entries:
                entry.outcome, entry.requests = None, requests
                self._link.enter(entry, self._link.socket_for(entry.symbol) if fresh_socket is None else fresh_socket)
            for _ in range(_SUBSCRIBE_ATTEMPTS):
                for entry in requests.waiting:
                    self._link.send(entry.socket, entry.symbol)
                try:
                    await asyncio.wait_for(requests.done.wait(), self._subscribe_timeout_s)
                    break
                except asyncio.TimeoutError:
                    continue
        finally:
            for entry in entries:
                entry.requests = None

    def _answer(self, entry, outcome) -> None:
        if entry.requests is None:
            return
        entry.outcome = outcome
        if outcome is True:
            entry.bound_ns = self._clock.c_monotonic_ns()
            self._link.watch(entry, entry.bound_ns)
        entry.requests.waiting.discard(entry)
        if not entry.requests.waiting:
            entry.requests.done.set()

    def _leave_socket(self, entry) -> None:
        self._left.add(entry.symbol)
        self._link.leave(entry)

    # -- receiving ---------------------------------------------------------------------------------------------

    def poll(self, int max_n=_POLL_MAX) -> int:
        """Receives and applies up to `max_n` datagrams that are there, calls the callbacks; how many. Never blocks."""
        cdef int done
        with nogil:
            done = self._feed.poll(max_n)
        self._dispatch()
        return done

    def _on_readable(self) -> None:
        self.poll()

    def _on_event(self) -> None:
        self._feed.event().clear()
        self._dispatch()

    cdef int _dispatch(self) except -1:
        """Gives what was received to the requests that wait and to the callbacks; not again from within a callback."""
        if self._dispatching:
            return 0
        self._dispatching = True
        try:
            self._dispatch_texts()
            self._call_back()
            self._dispatch_news()
        finally:
            self._dispatching = False
        return 0

    cdef int _call_back(self) except -1:
        cdef int number
        self._changed.clear()
        self._feed.take_changed(self._changed)
        on_book = self.on_book
        if on_book is not None:
            for number in self._changed:
                try:
                    on_book(self._by_number[number].trading_pair)
                except Exception:
                    _logger.exception("on_book(%s) failed", self._by_number[number].trading_pair)
        return 0

    cdef int _dispatch_news(self) except -1:
        cdef const FeedNews* news = self._feed.next_news()
        cdef bint waits = False
        while news != NULL and not waits:
            waits = not self._deliver(news)
            news = self._feed.next_news()
        if waits != self._waits_for_room:
            self._waits_for_room = waits
            if self.driver == "asyncio" and waits:
                self._loop.remove_reader(self._feed.fd())  # or it would call without end
            elif self.driver == "asyncio" and self._loop is not None:
                self._loop.add_reader(self._feed.fd(), self._on_readable)
        return 0

    cdef bint _deliver(self, const FeedNews* news) except -1:
        """Takes one piece of news. False: its queue has no room, and it stays."""
        entry = self._by_number[news.symbol]
        cdef OrderBook book = entry.book
        queue = entry.trades if news.kind == NewsKind.trade else entry.diffs
        if queue is not None and queue.full() and queue.overflow == "block":
            return False
        on_trade = self.on_trade
        cdef size_t i
        if news.kind == NewsKind.diff:
            levels = []
            for i in range(news.ask_count + news.bid_count):
                levels.append((book.c_price(news.levels()[i].price), book.c_amount(news.levels()[i].size)))
            asks = levels[:news.ask_count]
            diff = DiffMessage(
                book.trading_pair, news.sn_id, news.event_ms / 1e3, levels[news.ask_count:], asks, news.whole)
            self._feed.pop_news()
            if queue is not None and not queue.put_diff(diff):
                self._renew({entry: "overflow"})
        elif on_trade is None and queue is None:
            self._feed.pop_news()
        else:
            trade = TradeMessage(
                book.trading_pair, book.c_price(news.trade.price), book.c_amount(news.trade.size), news.trade.is_buy,
                news.trade.event_ms / 1e3)
            self._feed.pop_news()
            if queue is not None:
                queue.put_trade(trade)
            if on_trade is not None:
                try:
                    on_trade(*trade)
                except Exception:
                    _logger.exception("on_trade(%s) failed", book.trading_pair)
        return True

    def _on_room(self) -> None:
        """A message was taken from a queue."""
        if self._waits_for_room and self._loop is not None:
            self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        if self._waits_for_room:
            self._dispatch()

    cdef int _dispatch_texts(self) except -1:
        cdef const FeedText* text = self._feed.next_text()
        cdef int symbol
        cdef cbool bound
        while text != NULL:
            symbol, bound = text.symbol, text.bound
            words = text.data[:text.size].decode("ascii")
            self._feed.pop_text()
            if symbol >= 0:
                self._answer(self._by_number[symbol], bool(bound))
            else:
                self._process_text(words)
            text = self._feed.next_text()
        return 0

    def _process_text(self, str text) -> None:
        """What the server said other than the answers that subscriptions wait for."""
        named = [entry for entry in self._subscriptions.values() if entry.symbol in text]
        if text.startswith("error"):
            for entry in named:
                self._answer(entry, NetworkError(f"{self.host}:{self.port} refused {entry.symbol}: {text}"))
            _logger.warning("%s:%s says: %s", self.host, self.port, text)
        elif any(text.partition(":")[2] == entry.symbol for entry in named):
            pass  # a second answer to a repeated request
        elif any(symbol in text for symbol in self._left):
            pass  # confirms an unsubscription
        elif self._pings:
            self._pings.pop(0).set_result(True)
        else:
            with nogil:
                self._feed.count_reject(Reject.unexpected_text)

    # -- housekeeping: the one state machine of connection and subscriptions -----------------------------------

    async def _keep_house(self) -> None:
        """connected -> (all pairs dead for want of data) -> reconnecting -> (a pair answered) -> connected."""
        while True:
            await self._clock.sleep(_TICK_S)
            now_ns = self._clock.c_monotonic_ns()
            self._measure_rate(now_ns)
            troubles = self._look(now_ns)
            gone = sum(trouble in _SERVER_IS_GONE for trouble in troubles.values())
            if gone and gone == len(self._subscriptions):
                await self._reconnect(_TROUBLE_TEXTS[next(iter(troubles.values()))])
                continue
            if now_ns - self._connected_ns > _HEALTHY_AFTER_NS:
                self._backoff.reset()
            if not self._renewals:
                left = (entry for entry in self._subscriptions.values() if entry.socket < 0)
                troubles.update(dict.fromkeys(left, "unsubscribed"))
            self._renew(troubles)

    def _look(self, int64_t now_ns) -> dict:
        """{entry: trouble} of the pairs that are in trouble now."""
        troubles = {self._by_number[number]: trouble for number, trouble in self._link.look(now_ns)}
        for entry in self._subscriptions.values():
            if entry.diffs is not None and self._feed.symbol(entry.number).missed_diffs.get():
                entry.diffs.break_off()
                troubles.setdefault(entry, "overflow")
        return troubles

    def _renew(self, troubles) -> None:
        """Subscribes the pairs of {entry: trouble} anew, those whose backoff allows it, in a task of its own."""
        now_ns = self._clock.c_monotonic_ns()
        due = {
            entry: trouble for entry, trouble in troubles.items()
            if not entry.subscribing and now_ns >= entry.retry_ns
        }
        if not due:
            return
        for entry in due:
            entry.subscribing = True
            if now_ns - entry.bound_ns > _HEALTHY_AFTER_NS:
                entry.backoff.reset()
        task = self._loop.create_task(self._renew_now(due))
        self._renewals.add(task)
        task.add_done_callback(self._renewals.discard)

    async def _renew_now(self, troubles) -> None:
        try:
            for entry, trouble in troubles.items():
                _logger.info("%s: %s; subscribing anew", entry.symbol, _TROUBLE_TEXTS[trouble])
                self._link.unbind(entry, trouble not in ("loss", "overflow"))
                self._leave_socket(entry)
                self._feed.symbol(entry.number).missed_diffs.set(False)
            for error in (await self._request(troubles)).values():
                _logger.warning("%s", error)
        except NetworkError as error:  # no socket could be opened
            _logger.warning("%s", error)
        finally:
            now_ns = self._clock.c_monotonic_ns()
            for entry in troubles:
                entry.subscribing = False
                entry.retry_ns = now_ns + int(entry.backoff.next_s() * 1e9)
                if entry.trading_pair not in self._subscriptions:  # given up meanwhile
                    self._link.unbind(entry, True)
                    self._leave_socket(entry)

    async def _reconnect(self, str trouble) -> None:
        """All over again: looks the host up, opens new sockets, and resubscribes once one pair is answered."""
        self.state = "reconnecting"
        for task in [*self._renewals]:
            task.cancel()
        await asyncio.gather(*self._renewals, return_exceptions=True)
        _logger.warning("%s:%s: %s; reconnecting", self.host, self.port, trouble)
        for entry in self._subscriptions.values():
            self._link.unbind(entry, True)
            self._leave_socket(entry)
        self._link.close_all()
        while self._subscriptions:
            await self._clock.sleep(self._backoff.next_s())
            # Others have tasks of their own that subscribe them.
            window = [entry for entry in self._subscriptions.values() if not entry.subscribing][:_SUBSCRIBE_WINDOW]
            if not window:
                break
            try:
                await self._link.find_server(self._loop)
                failed = await self._request(window)
            except NetworkError as error:
                _logger.warning("%s", error)
                continue
            if len(failed) < len(window):
                break
            _logger.warning("%s", next(iter(failed.values())))
            self._link.close_all()
        for entry in self._subscriptions.values():
            entry.retry_ns = 0
        self._connected_ns = self._clock.c_monotonic_ns()
        self.state = "connected"

    def _measure_rate(self, int64_t now_ns) -> None:
        elapsed_s = (now_ns - self._rate_since_ns) / 1e9
        if elapsed_s >= 1.0:
            messages = self._feed.statistics().messages
            self._message_rate = (messages - self._rate_messages) / elapsed_s
            self._rate_messages = messages
            self._rate_since_ns = now_ns

    # -- state -------------------------------------------------------------------------------------------------

    @property
    def trading_pairs(self) -> list:
        """The pairs that are subscribed."""
        return list(self._subscriptions)

    def symbol_number(self, str trading_pair not None) -> int:
        """The number by which a FeedHandler knows a pair. KeyError if it is not subscribed."""
        return self._subscriptions[trading_pair].number

    def symbol_state(self, str trading_pair not None) -> str:
        """ "LIVE", "STALE", "DEAD" or "UNSUBSCRIBED", as of the last look, at most 0.1 s ago."""
        entry = self._subscriptions.get(trading_pair)
        return "UNSUBSCRIBED" if entry is None else self._link.state(entry.number)

    def get_statistics(self) -> dict:
        """Counts since the feed was made, the rate of the last second, and latencies in ns.

        total_messages (applied), message_rate (a second), queue_depths {pair: changes and trades received and not yet
        given to the callbacks, and messages in its queues}, symbol_states {"LIVE": pairs, ...}, state, datagrams,
        bytes, gaps (messages missing when a later one came), duplicates, reorders (those that came too late), rejects
        {reason: count}, kernel_drops, foreign (sent to the multicast group by others), trades_dropped, texts_dropped,
        socket_errors, sockets, and latency_ns, the summary of `latency()`.
        """
        cdef FeedStatistics counts = self._feed.statistics()
        cdef size_t i
        cdef int number
        depths = {}
        states = dict.fromkeys(STATE_NAMES.values(), 0)
        for pair, entry in self._subscriptions.items():
            number = entry.number
            depths[pair] = (
                self._feed.symbol(number).queued.get() - self._feed.symbol(number).taken.get()
                + (1 if self._feed.decoder().is_changed(number) else 0)
                + (entry.diffs.qsize() + entry.trades.qsize() if entry.diffs is not None else 0)
            )
            states[self.symbol_state(pair)] += 1
        rejects = {}
        for i in range(1, <size_t>len(_REJECT_NAMES)):
            rejects[_REJECT_NAMES[i]] = counts.rejects[i]
        return {
            "total_messages": counts.messages,
            "message_rate": self._message_rate,
            "queue_depths": depths,
            "symbol_states": states,
            "state": self.state,
            "datagrams": counts.datagrams,
            "bytes": counts.bytes,
            "gaps": counts.lost,
            "duplicates": counts.duplicates,
            "reorders": counts.reorders,
            "rejects": rejects,
            "kernel_drops": counts.kernel_drops,
            "foreign": counts.foreign,
            "trades_dropped": counts.trades_dropped,
            "texts_dropped": counts.texts_dropped,
            "socket_errors": counts.socket_errors,
            "sockets": len(self._link.sockets),
            "latency_ns": self.latency().summary(),
        }

    def latency(self):
        """Durations from the kernel's receive time until the datagram was in its book, with those read together."""
        cdef LatencyRecorder recorder = LatencyRecorder("UDP in -> book")
        with nogil:
            self._feed.read_latency(deref(recorder.c_histogram()))
        return recorder
