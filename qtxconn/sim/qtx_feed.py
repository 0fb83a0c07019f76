"""The venue's QTX market-data server: text subscriptions in, binary datagrams out, over one UDP socket.

Wire format and its gaps, as this server fills them:

- `venue:symbol` subscribes and is answered `index:venue:symbol`; right after the answer follow the whole
  book (the nearest 2,000 levels a side, which fit one datagram) and the top of the book. Subscribing
  again does the same again. `-venue:symbol` unsubscribes, `ping` is answered `pong`, anything else
  `error: ...`.
- `sn_id` is contiguous per subscriber, symbol and msg_type (the signed one: bid and ask tickers, buys and
  sells count apart): a gap of n means n datagrams lost. A new subscription starts at the venue's clock in
  microseconds, so that ids also grow across re-subscriptions and restarts.
- A depth message after the first carries the changed levels, size 0 removing one; more than fit one
  datagram go out in several.
- A ticker is sent for the side that changed; size 0 empties it.
- With a multicast group all data goes there, once for everybody, with `sn_id` counted for the group; requests and
  answers stay on the socket. A new subscription sends the whole book to the group again.

Sending never blocks: what the socket does not take is lost, counted, and shows as a gap to the subscriber.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qtxconn.sim.model import BookTicker, DepthUpdate, Instrument, Levels, MarketTrade
    from qtxconn.sim.venue import Venue

logger = logging.getLogger(__name__)

Address = tuple[str, int]

# msg_type, index, tx_ms, event_ms, local_ns, sn_id
_HEADER = struct.Struct("<iiqqqq")
_SN_ID = struct.Struct("<q")
_SN_ID_OFFSET = 32
_PRICE_SIZE = struct.Struct("<dd")
_COUNTS = struct.Struct("<qq")
TICKER_BID, TICKER_ASK, DEPTH, TRADE_BUY, TRADE_SELL = 1, -1, 2, 3, -3

DATAGRAM_MAX = 65_507
LEVELS_PER_DATAGRAM = (DATAGRAM_MAX - _HEADER.size - _COUNTS.size) // _PRICE_SIZE.size
BOOK_LEVELS_MAX = 2_000
SYMBOL_MAX_BYTES = 64
SYMBOLS_PER_SUBSCRIBER_MAX = 100
# Beyond this the subscriber heard from longest ago is dropped: UDP does not tell when one goes away.
SUBSCRIBERS_MAX = 512  # sockets: enough for 10,000 symbols and some that move from one to another
REQUESTS_PER_WAKEUP = 64


class _Symbol:
    """One instrument on this feed: its index, names, and who listens."""

    def __init__(self, instrument: Instrument, venue_name: str, index: int) -> None:
        self.instrument = instrument
        self.index = index
        self.name = f"{venue_name}:{instrument.symbol.lower()}"
        # Whose requests keep the symbol going, and where its data goes: there, or to the multicast group.
        self.listeners: set[Address] = set()
        # Address -> msg_type -> the last sn_id sent.
        self.subscribers: dict[Address, dict[int, int]] = {}
        self.top = (0, 0, 0, 0)
        # int / int rounds correctly, so a price is the very double its decimal text gives.
        self._tick = instrument.tick_size.as_integer_ratio()
        self._lot = instrument.lot_size.as_integer_ratio()

    def price_size(self, ticks: int, lots: int) -> tuple[float, float]:
        return ticks * self._tick[0] / self._tick[1], lots * self._lot[0] / self._lot[1]

    def remove(self, address: Address) -> None:
        self.listeners.discard(address)
        self.subscribers.pop(address, None)
        if not self.listeners:
            self.subscribers.clear()


class QtxFeed:
    """Market listener of the venue that publishes QTX datagrams."""

    def __init__(self, venue: Venue, venue_name: str = "binance-futures") -> None:
        self._venue = venue
        self._clock = venue.clock
        self._symbols = {
            symbol: _Symbol(instrument, venue_name, index)
            for index, (symbol, instrument) in enumerate(venue.instruments.items(), start=1)
        }
        self._by_name = {entry.name: entry for entry in self._symbols.values()}
        # Insertion order is the order of last being heard from.
        self._subscribers: dict[Address, set[str]] = {}
        self._socket: socket.socket | None = None
        self._group: Address | None = None
        self.sent = 0
        self.send_failures = 0

    def start(self, host: str = "127.0.0.1", port: int = 0, multicast: Address | None = None) -> None:
        """Binds `host:port` (0: any free port) and begins to listen; data goes to the group `multicast` where given.

        Raises OSError; needs a running loop.
        """
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.setblocking(False)
            # Bursts of full books must fit; the system may grant less.
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * 1024 * 1024)
            udp.bind((host, port))
            if multicast is not None:
                udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(host))
        except BaseException:
            udp.close()
            raise
        self._socket = udp
        self._group = multicast
        asyncio.get_running_loop().add_reader(udp.fileno(), self._on_readable)
        for symbol, entry in self._symbols.items():
            ticker = self._venue.ticker(symbol)
            entry.top = (ticker.bid, ticker.bid_qty, ticker.ask, ticker.ask_qty)
        self._venue.add_market_listener(self)

    def stop(self) -> None:
        """Closes the socket; market events are ignored from then on."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
        self._subscribers.clear()
        for entry in self._symbols.values():
            entry.listeners.clear()
            entry.subscribers.clear()

    @property
    def address(self) -> Address:
        if self._socket is None:
            raise RuntimeError("the feed has not been started")
        return self._socket.getsockname()

    @property
    def symbol_names(self) -> list[str]:
        """What can be subscribed, in QTX's spelling."""
        return list(self._by_name)

    # -- requests -------------------------------------------------------------------------------------------

    def _on_readable(self) -> None:
        """Serves a bounded number of requests; the loop calls again while more wait."""
        for _ in range(REQUESTS_PER_WAKEUP):
            if self._socket is None:
                return
            try:
                data, address = self._socket.recvfrom(2 * SYMBOL_MAX_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                logger.warning("QTX feed: receiving failed: %s", error)
                return
            self.handle_request(data, address)

    def handle_request(self, data: bytes, address: Address) -> None:
        """Carries out one text request and answers it."""
        if address in self._subscribers:
            self._subscribers[address] = self._subscribers.pop(address)
        text = data.decode("ascii", "replace").rstrip("\0\r\n ")
        if text == "ping":
            self._send(b"pong", address)
        elif text.startswith("-"):
            self._unsubscribe(text[1:], address)
        elif (entry := self._by_name.get(text)) is not None:
            self._subscribe(entry, address)
        else:
            shown = "".join(c if c.isprintable() else "?" for c in text[:SYMBOL_MAX_BYTES])
            self._send(f"error: unknown symbol {shown}".encode("ascii", "replace"), address)

    def _subscribe(self, entry: _Symbol, address: Address) -> None:
        names = self._subscribers.setdefault(address, set())
        if len(names) >= SYMBOLS_PER_SUBSCRIBER_MAX and entry.name not in names:
            self._send(b"error: too many symbols on one socket", address)
            return
        names.add(entry.name)
        if len(self._subscribers) > SUBSCRIBERS_MAX:
            self._drop(next(iter(self._subscribers)))
        first_sn_id = self._clock.now_ns() // 1000
        target = self._group or address
        entry.listeners.add(address)
        entry.subscribers.setdefault(
            target, dict.fromkeys((TICKER_BID, TICKER_ASK, DEPTH, TRADE_BUY, TRADE_SELL), first_sn_id)
        )
        self._send(f"{entry.index}:{entry.name}".encode(), address)
        symbol = entry.instrument.symbol
        bids, asks, _ = self._venue.depth(symbol, BOOK_LEVELS_MAX)
        ticker = self._venue.ticker(symbol)
        only = {target: entry.subscribers[target]}
        self._publish(entry, DEPTH, ticker.transaction_ms, ticker.event_ms, _depth_body(entry, asks, bids), only)
        for kind, ticks, lots in (
            (TICKER_BID, ticker.bid, ticker.bid_qty),
            (TICKER_ASK, ticker.ask, ticker.ask_qty),
        ):
            body = _PRICE_SIZE.pack(*entry.price_size(ticks, lots))
            self._publish(entry, kind, ticker.transaction_ms, ticker.event_ms, body, only)

    def _unsubscribe(self, name: str, address: Address) -> None:
        entry = self._by_name.get(name)
        names = self._subscribers.get(address)
        if entry is None or names is None or name not in names:
            self._send(b"error: not subscribed", address)
            return
        names.discard(name)
        entry.remove(address)
        if not names:
            del self._subscribers[address]
        self._send(f"-{name}".encode(), address)

    def _drop(self, address: Address) -> None:
        for name in self._subscribers.pop(address):
            self._by_name[name].remove(address)

    # -- the market speaks ----------------------------------------------------------------------------------

    def on_depth(self, symbol: str, update: DepthUpdate) -> None:
        entry = self._symbols[symbol]
        if not entry.subscribers:
            return
        for asks, bids in _split(update.asks, update.bids):
            body = _depth_body(entry, asks, bids)
            self._publish(entry, DEPTH, update.transaction_ms, update.event_ms, body, entry.subscribers)

    def on_ticker(self, symbol: str, ticker: BookTicker) -> None:
        entry = self._symbols[symbol]
        bid, bid_qty, ask, ask_qty = entry.top
        entry.top = (ticker.bid, ticker.bid_qty, ticker.ask, ticker.ask_qty)
        if not entry.subscribers:
            return
        if (ticker.bid, ticker.bid_qty) != (bid, bid_qty):
            body = _PRICE_SIZE.pack(*entry.price_size(ticker.bid, ticker.bid_qty))
            self._publish(entry, TICKER_BID, ticker.transaction_ms, ticker.event_ms, body, entry.subscribers)
        if (ticker.ask, ticker.ask_qty) != (ask, ask_qty):
            body = _PRICE_SIZE.pack(*entry.price_size(ticker.ask, ticker.ask_qty))
            self._publish(entry, TICKER_ASK, ticker.transaction_ms, ticker.event_ms, body, entry.subscribers)

    def on_trade(self, symbol: str, trade: MarketTrade) -> None:
        entry = self._symbols[symbol]
        if entry.subscribers:
            kind = TRADE_SELL if trade.buyer_is_maker else TRADE_BUY
            body = _PRICE_SIZE.pack(*entry.price_size(trade.price, trade.quantity))
            self._publish(entry, kind, trade.time_ms, trade.time_ms, body, entry.subscribers)

    # -- sending --------------------------------------------------------------------------------------------

    def _publish(
        self,
        entry: _Symbol,
        kind: int,
        tx_ms: int,
        event_ms: int,
        body: bytes,
        subscribers: dict[Address, dict[int, int]],
    ) -> None:
        """One datagram to each subscriber; only `sn_id` differs between them."""
        header = _HEADER.pack(kind, entry.index, tx_ms, event_ms, self._clock.now_ns(), 0)
        datagram = bytearray(header + body)
        for address, counters in subscribers.items():
            counters[kind] += 1
            _SN_ID.pack_into(datagram, _SN_ID_OFFSET, counters[kind])
            self._send(datagram, address)

    def _send(self, data: bytes | bytearray, address: Address) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(data, address)
            self.sent += 1
        except OSError:
            self.send_failures += 1


def _depth_body(entry: _Symbol, asks: Levels, bids: Levels) -> bytes:
    numbers: list[float] = []
    for ticks, lots in (*asks, *bids):
        numbers += entry.price_size(ticks, lots)
    return _COUNTS.pack(len(asks), len(bids)) + struct.pack(f"<{len(numbers)}d", *numbers)


def _split(asks: Levels, bids: Levels) -> list[tuple[Levels, Levels]]:
    """Parts of a depth update that fit one datagram each; one part for any ordinary update."""
    if len(asks) + len(bids) <= LEVELS_PER_DATAGRAM:
        return [(asks, bids)]
    size = LEVELS_PER_DATAGRAM
    parts: list[tuple[Levels, Levels]] = [(asks[i : i + size], []) for i in range(0, len(asks), size)]
    return parts + [([], bids[i : i + size]) for i in range(0, len(bids), size)]
