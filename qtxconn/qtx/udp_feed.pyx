"""Market data from a QTX server: `UdpFeed` subscribes over UDP and keeps order books up to date."""

import asyncio
import logging
import os
import socket as socket_module
from typing import NamedTuple

from cython.operator cimport dereference as deref

from qtxconn.core.order_book cimport OrderBook
from qtxconn.perf.latency cimport LatencyRecorder

from qtxconn.core.clock import SYSTEM_CLOCK
from qtxconn.errors import ConfigurationError, MessageError, NetworkError, RequestTimeoutError

_logger = logging.getLogger("qtxconn.qtx.feed")

_REJECT_NAMES = (
    "none", "too_short", "bad_length", "bad_count", "unknown_type", "bad_number", "unknown_index", "off_grid", "stale",
    "unexpected_text",
)
_DRIVERS = ("asyncio", "thread", "manual")
_HEADER_LAYOUTS = {"sdk": <int>HeaderLayout.sdk, "legacy": <int>HeaderLayout.legacy}
_DEPTH_SEMANTICS = {"merge": <int>DepthSemantics.merge, "replace": <int>DepthSemantics.replace}
_SEQUENCE_RULES = {"contiguous": <int>SequenceRule.contiguous, "monotonic": <int>SequenceRule.monotonic}

_SYMBOL_BYTES_MAX = 64            # limit of the C SDK
_POLL_MAX = 1024                  # datagrams before the event loop gets its turn again
_SUBSCRIBE_ATTEMPTS = 3           # a request or its answer can be lost: this is UDP
_TICK_S = 0.1                     # of the housekeeping
_RECOVERY_DELAY_MIN_S = 0.2
_RECOVERY_DELAY_MAX_S = 10.0
_HEALTHY_AFTER_S = 10.0           # without trouble, before the delay starts small again
_FULL_DEPTH_TIMEOUT_S = 2.0


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
        self.answer = None                # asyncio.Future[bool] while a request is out
        self.recovery = None              # asyncio.Task while a new subscription is being made
        self.bound_ns = 0                 # monotonic time of the last answer
        self.retry_ns = 0                 # monotonic time before which no recovery starts
        self.delay_s = _RECOVERY_DELAY_MIN_S


class _Socket:
    """One socket: how many pairs it carries, and whether it may take more."""

    def __init__(self) -> None:
        self.pairs = 0
        self.draining = False


cdef class UdpFeed:
    """Subscribes to a QTX server and applies its datagrams to order books.

    `driver`: "asyncio" receives when the event loop sees data, "thread" receives in a thread without the GIL (on core
    `cpu` if that is not negative) that spins for `spin_ns`, yields for `yield_ns` and then blocks until data comes, and
    "manual" receives only in `poll()`.
    `on_book(trading_pair)` and `on_trade(trading_pair, price, size, is_buy, time_s)` are always called on the event
    loop's thread; a book that changed often meanwhile is reported once. Code that must not wait for the event loop is
    called inside the receive loop through a FeedHandler (see udp_feed.pxd).

    What came from another address than the server's, malformed datagrams, repeats and steps back cost a counter. A loss
    makes the book invalid ("gap") until a new subscription, made by itself, has brought a full depth message; silence
    for `stale_after_s` makes all books invalid ("disconnected") until data comes again in the same way.
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
        str sequence="contiguous",
        int receive_buffer_bytes=4 * 1024 * 1024,
        int symbols_per_socket=100,
        double subscribe_timeout_s=1.0,
        double stale_after_s=10.0,
        int cpu=-1,
        int64_t spin_ns=50_000,
        int64_t yield_ns=500_000,
    ):
        if not 1 <= port <= 65535:
            raise ConfigurationError(f"the feed's port is {port}; it must be 1..65535")
        if symbols_per_socket < 1 or subscribe_timeout_s <= 0 or stale_after_s <= 0:
            raise ConfigurationError("symbols_per_socket, subscribe_timeout_s and stale_after_s must be positive")
        if cpu >= (os.cpu_count() or 1):
            raise ConfigurationError(f"cpu is {cpu}; this machine has cores 0..{(os.cpu_count() or 1) - 1}")
        self.host = host
        self.port = port
        self.driver = _choice("driver", driver, _DRIVERS)
        cdef FeedOptions options
        options.header_layout = <HeaderLayout><int>_HEADER_LAYOUTS[
            _choice("header_layout", header_layout, _HEADER_LAYOUTS)]
        options.depth_semantics = <DepthSemantics><int>_DEPTH_SEMANTICS[
            _choice("depth_semantics", depth_semantics, _DEPTH_SEMANTICS)]
        options.sequence_rule = <SequenceRule><int>_SEQUENCE_RULES[_choice("sequence", sequence, _SEQUENCE_RULES)]
        self._merge = depth_semantics == "merge"
        self._spin_ns = spin_ns
        self._yield_ns = yield_ns
        self._clock = clock
        self._receive_buffer_bytes = receive_buffer_bytes
        self._symbols_per_socket = symbols_per_socket
        self._cpu = cpu
        self._subscribe_timeout_s = subscribe_timeout_s
        self._stale_after_s = stale_after_s
        self._subscriptions = {}
        self._by_number = []
        self._sockets = {}
        self._left = set()
        self._pings = []
        self._feed.reset(new Feed(options))

    def __dealloc__(self):
        # The thread never takes the GIL, so joining it here cannot deadlock.
        self._feed.reset()

    def __repr__(self) -> str:
        return f"UdpFeed({self.host!r}, {self.port}, driver={self.driver!r}, symbols={len(self._subscriptions)})"

    cdef Feed* c_feed(self) noexcept nogil:
        return self._feed.get()

    cdef int c_poll(self, int max_n) noexcept nogil:
        return deref(self._feed).poll(max_n)

    cdef void c_set_handler(self, FeedHandler handler) noexcept:
        deref(self._feed).set_handler(handler)

    # -- life cycle --------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Starts the driver and the housekeeping. Raises NetworkError if the host has no IPv4 address."""
        if self._loop is not None:
            return
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(
                self.host, self.port, family=socket_module.AF_INET, type=socket_module.SOCK_DGRAM
            )
        except OSError as error:
            text = f"the feed's host {self.host!r} has no IPv4 address ({error}): correct the host"
            raise NetworkError(text) from None
        self._ip = found[0][4][0]
        self._loop = loop
        self._rate_since_ns = self._clock.c_monotonic_ns()
        if self.driver == "thread":
            loop.add_reader(deref(self._feed).event().fd(), self._on_event)
            if not deref(self._feed).start_thread(self._cpu, self._spin_ns, self._yield_ns):
                loop.remove_reader(deref(self._feed).event().fd())
                self._loop = None
                raise NetworkError("cannot start the feed's thread")
        self._housekeeping = loop.create_task(self._keep_house(), name="qtx feed housekeeping")

    async def stop(self) -> None:
        """Unsubscribes from everything and closes all sockets; the books become invalid. May be called twice."""
        if self._loop is None:
            return
        tasks = [self._housekeeping]
        tasks += [entry.recovery for entry in self._subscriptions.values() if entry.recovery is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._housekeeping = None
        for pair in list(self._subscriptions):
            self.unsubscribe(pair)
        if self.driver == "thread":
            with nogil:
                deref(self._feed).stop_thread()
            self._loop.remove_reader(deref(self._feed).event().fd())
        for number in list(self._sockets):
            self._close_socket(number)
        self._left.clear()
        self._loop = None

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
        if self._loop is None:
            raise NetworkError("the feed is not started: call start() first")
        if not 0 < len(symbol.encode()) <= _SYMBOL_BYTES_MAX:
            raise ConfigurationError(f"feed symbol {symbol!r} must have 1 to {_SYMBOL_BYTES_MAX} bytes")
        if book.trading_pair in self._subscriptions:
            raise ConfigurationError(f"{book.trading_pair} is subscribed already")
        number = deref(self._feed).add_symbol(book.c_book(), book.c_tick_size, book.c_lot_size)
        entry = _Subscription(book.trading_pair, symbol, book, number)
        self._by_number.append(entry)
        self._subscriptions[entry.trading_pair] = entry
        try:
            await self._request(entry)
        except BaseException:
            self._subscriptions.pop(entry.trading_pair, None)
            self._leave_socket(entry)
            raise

    def unsubscribe(self, str trading_pair not None) -> None:
        """Gives up a pair: from now on nothing reaches its book, which becomes invalid."""
        entry = self._subscriptions.pop(trading_pair, None)
        if entry is None:
            return
        if entry.recovery is not None:
            entry.recovery.cancel()
        deref(self._feed).unbind(entry.number, BookInvalid.disconnected)
        self._leave_socket(entry)

    async def ping(self, double timeout_s=1.0) -> bool:
        """Whether the server says anything to a ping in time. Silence is not an error."""
        if self._loop is None:
            raise NetworkError("the feed is not started: call start() first")
        answered = self._loop.create_future()
        self._pings.append(answered)
        number = self._socket_for_one_more()
        self._send(number, "ping")
        try:
            await asyncio.wait_for(answered, timeout_s)
        except asyncio.TimeoutError:
            return False
        finally:
            if answered in self._pings:
                self._pings.remove(answered)
        return True

    async def _request(self, entry) -> None:
        """Subscribes on a socket that has not carried the pair before, and waits for the answer."""
        cdef int number = self._socket_for_one_more()
        entry.socket = number
        self._sockets[number].pairs += 1
        deref(self._feed).expect_answer(number, entry.symbol.encode(), entry.number)
        try:
            for _ in range(_SUBSCRIBE_ATTEMPTS):
                entry.answer = self._loop.create_future()
                self._send(number, entry.symbol)
                try:
                    bound = await asyncio.wait_for(entry.answer, self._subscribe_timeout_s)
                except asyncio.TimeoutError:
                    continue
                if not bound:
                    raise NetworkError(f"{self.host}:{self.port} gave {entry.symbol} an index in use or too large")
                entry.bound_ns = self._clock.c_monotonic_ns()
                return
        finally:
            entry.answer = None
            deref(self._feed).forget_answer(number, entry.number)
        raise RequestTimeoutError(
            f"{self.host}:{self.port} did not answer the subscription of {entry.symbol} "
            f"({_SUBSCRIBE_ATTEMPTS} times {self._subscribe_timeout_s} s): check host and port, and that it knows "
            "the symbol"
        )

    def _leave_socket(self, entry) -> None:
        """Tells the server, and takes no further pair on that socket: late data must not meet a reused index."""
        number, entry.socket = entry.socket, -1
        if number < 0 or number not in self._sockets:
            return
        self._send(number, "-" + entry.symbol)
        self._left.add(entry.symbol)
        held = self._sockets[number]
        held.draining = True
        held.pairs -= 1
        if held.pairs == 0:
            self._close_socket(number)

    def _socket_for_one_more(self) -> int:
        for number, held in self._sockets.items():
            if not held.draining and held.pairs < self._symbols_per_socket:
                return number
        cdef bytes ip = self._ip.encode()
        number = deref(self._feed).open_socket(ip, <uint16_t>self.port, self._receive_buffer_bytes)
        if number < 0:
            raise NetworkError(f"cannot open a socket to {self._ip}:{self.port}: {os.strerror(-number)}")
        self._sockets[number] = _Socket()
        if self.driver == "asyncio":
            self._loop.add_reader(deref(self._feed).fd(number), self._on_readable)
        return number

    def _close_socket(self, int number) -> None:
        if self.driver == "asyncio":
            self._loop.remove_reader(deref(self._feed).fd(number))
        del self._sockets[number]
        deref(self._feed).close_socket(number)

    def _send(self, int number, str text) -> None:
        cdef bytes request = text.encode()
        error = deref(self._feed).send_text(number, request, <size_t>len(request))
        if error:
            # A refused port shows here or on receiving; either way the missing answer is what counts.
            _logger.debug("sending %r to %s:%s failed: %s", text, self.host, self.port, os.strerror(error))

    # -- receiving ---------------------------------------------------------------------------------------------

    def poll(self, int max_n=_POLL_MAX) -> int:
        """Receives and applies up to `max_n` datagrams that are there, calls the callbacks; how many. Never blocks."""
        cdef int done
        with nogil:
            done = deref(self._feed).poll(max_n)
        self._dispatch()
        return done

    def _on_readable(self) -> None:
        self.poll()

    def _on_event(self) -> None:
        deref(self._feed).event().clear()
        self._dispatch()

    cdef int _dispatch(self) except -1:
        """Gives what was received to the requests that wait and to the callbacks; not again from within a callback."""
        if self._dispatching:
            return 0
        self._dispatching = True
        try:
            self._dispatch_texts()
            self._call_back()
        finally:
            self._dispatching = False
        return 0

    cdef int _call_back(self) except -1:
        cdef OrderBook book
        cdef int number
        self._changed.clear()
        deref(self._feed).take_changed(self._changed)
        on_book = self.on_book
        if on_book is not None:
            for number in self._changed:
                try:
                    on_book(self._by_number[number].trading_pair)
                except Exception:
                    _logger.exception("on_book(%s) failed", self._by_number[number].trading_pair)
        self._trades.clear()
        deref(self._feed).take_trades(self._trades)
        on_trade = self.on_trade
        cdef size_t i
        if on_trade is not None:
            for i in range(self._trades.size()):
                book = self._by_number[self._trades[i].symbol].book
                try:
                    on_trade(
                        book.trading_pair,
                        book.c_price(self._trades[i].price),
                        book.c_amount(self._trades[i].size),
                        self._trades[i].is_buy,
                        self._trades[i].event_ms / 1e3,
                    )
                except Exception:
                    _logger.exception("on_trade(%s) failed", book.trading_pair)
        return 0

    cdef int _dispatch_texts(self) except -1:
        cdef size_t i
        self._texts.clear()
        deref(self._feed).take_texts(self._texts)
        for i in range(self._texts.size()):
            if self._texts[i].symbol >= 0:
                self._answer(self._by_number[self._texts[i].symbol], self._texts[i].bound)
            else:
                self._process_text(self._texts[i].data[:self._texts[i].size].decode("ascii"))
        return 0

    def _answer(self, entry, result) -> None:
        if entry.answer is not None and not entry.answer.done():
            if isinstance(result, Exception):
                entry.answer.set_exception(result)
            else:
                entry.answer.set_result(result)

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
            deref(self._feed).count_reject(Reject.unexpected_text)

    # -- housekeeping ------------------------------------------------------------------------------------------

    async def _keep_house(self) -> None:
        """Renews subscriptions whose books have lost something, and notices silence."""
        while True:
            await self._clock.sleep(_TICK_S)
            now_ns = self._clock.c_monotonic_ns()
            self._measure_rate(now_ns)
            silent = self._is_silent()
            for entry in self._subscriptions.values():
                if entry.recovery is not None or entry.answer is not None or now_ns < entry.retry_ns:
                    continue
                trouble = self._trouble(entry, now_ns, silent)
                if trouble is None:
                    if now_ns - entry.bound_ns > _HEALTHY_AFTER_S * 1e9:
                        entry.delay_s = _RECOVERY_DELAY_MIN_S
                else:
                    entry.retry_ns = now_ns + int(entry.delay_s * 1e9)
                    entry.delay_s = min(2 * entry.delay_s, _RECOVERY_DELAY_MAX_S)
                    entry.recovery = self._loop.create_task(self._recover(entry, trouble, silent))

    def _trouble(self, entry, int64_t now_ns, bint silent) -> str | None:
        if entry.socket < 0:
            return "not subscribed"
        if silent:
            return f"nothing received for {self._stale_after_s} s"
        if not deref(self._feed).symbol(entry.number).seen_full:
            waited_s = (now_ns - entry.bound_ns) / 1e9
            return "no full depth message" if waited_s > _FULL_DEPTH_TIMEOUT_S else None
        # With "replace" the next depth message makes the book right again.
        if self._merge and not deref(self._feed).symbol(entry.number).synchronised:
            return "messages were lost"
        return None

    async def _recover(self, entry, str trouble, bint silent) -> None:
        _logger.info("%s: %s; subscribing anew", entry.symbol, trouble)
        deref(self._feed).unbind(entry.number, BookInvalid.disconnected if silent else BookInvalid.gap)
        self._leave_socket(entry)
        try:
            await self._request(entry)
        except NetworkError as error:
            self._leave_socket(entry)
            _logger.warning("%s; next attempt in %.1f s", error, entry.delay_s)
        finally:
            entry.recovery = None

    def _is_silent(self) -> bool:
        if not self._subscriptions:
            return False
        last_ns = deref(self._feed).statistics().last_received_ns
        return last_ns != 0 and self._clock.c_now_ns() - last_ns > self._stale_after_s * 1e9

    def _measure_rate(self, int64_t now_ns) -> None:
        elapsed_s = (now_ns - self._rate_since_ns) / 1e9
        if elapsed_s >= 1.0:
            messages = deref(self._feed).statistics().messages
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

    def get_statistics(self) -> dict:
        """Counts since the feed was made, the rate of the last second, and latencies in ns.

        total_messages (applied), message_rate (a second), queue_depths {pair: changes and trades received and not yet
        given to the callbacks}, datagrams, bytes, gaps (messages missing in sequences), duplicates, reorders, rejects
        {reason: count}, kernel_drops, trades_dropped, texts_dropped, socket_errors, sockets, and latency_ns, the
        summary of `latency()`.
        """
        cdef FeedStatistics counts = deref(self._feed).statistics()
        cdef size_t i
        depths = {}
        for pair, entry in self._subscriptions.items():
            depths[pair] = deref(self._feed).symbol(entry.number).undelivered_trades + (
                1 if deref(self._feed).symbol(entry.number).dirty else 0
            )
        rejects = {}
        for i in range(1, <size_t>len(_REJECT_NAMES)):
            rejects[_REJECT_NAMES[i]] = counts.rejects[i]
        return {
            "total_messages": counts.messages,
            "message_rate": self._message_rate,
            "queue_depths": depths,
            "datagrams": counts.datagrams,
            "bytes": counts.bytes,
            "gaps": counts.lost,
            "duplicates": counts.duplicates,
            "reorders": counts.reorders,
            "rejects": rejects,
            "kernel_drops": counts.kernel_drops,
            "trades_dropped": counts.trades_dropped,
            "texts_dropped": counts.texts_dropped,
            "socket_errors": counts.socket_errors,
            "sockets": len(self._sockets),
            "latency_ns": self.latency().summary(),
        }

    def latency(self):
        """Durations from the kernel's receive time to the applied book, as recorded so far."""
        cdef LatencyRecorder recorder = LatencyRecorder("UDP in -> book")
        deref(self._feed).read_latency(deref(recorder.c_histogram()))
        return recorder
