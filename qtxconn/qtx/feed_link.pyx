"""`FeedLink`: the sockets of a feed to its server, the pairs each of them carries, and whether data comes."""

import logging
import os
import socket as socket_module

cimport cython
from cython.operator cimport dereference as deref
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint16_t
from libcpp.string cimport string
from libcpp.vector cimport vector

from qtxconn.core.l2_book cimport BookInvalid
from qtxconn.core.order_book cimport OrderBook
from qtxconn.qtx.feed_core cimport (
    Feed,
    FeedOptions,
    Liveness,
    LivenessLimits,
    SequenceRule,
    SymbolState,
    SymbolTrouble,
    Trouble,
)

from qtxconn.errors import ConfigurationError, NetworkError

_logger = logging.getLogger("qtxconn.qtx.feed")

SEQUENCE_RULES = {"contiguous": <int>SequenceRule.contiguous, "monotonic": <int>SequenceRule.monotonic}
STATE_NAMES = {
    <int>SymbolState.unsubscribed: "UNSUBSCRIBED",
    <int>SymbolState.live: "LIVE",
    <int>SymbolState.stale: "STALE",
    <int>SymbolState.dead: "DEAD",
}
TROUBLE_NAMES = {
    <int>Trouble.silence: "silence",
    <int>Trouble.noise: "noise",
    <int>Trouble.quiet: "quiet",
    <int>Trouble.no_full_depth: "no_full_depth",
    <int>Trouble.loss: "loss",
}


class _Socket:
    """One socket: how many pairs it carries now, and which it has ever carried."""

    def __init__(self) -> None:
        self.pairs = 0
        self.carried = set()


@cython.no_gc_clear  # the receiving thread works on what is here until it has been joined
cdef class FeedLink:
    """What UdpFeed does with the feed in C++. An `entry` is one of its subscriptions: `symbol`, `number` (in C++) and
    `socket`, -1 while it has none. Whatever may have to wait for the thread that receives does so without the GIL, which
    a strategy in that thread may be waiting for."""

    def __init__(
        self, str host, int port, str multicast_group, str multicast_interface, int receive_buffer_bytes,
        int symbols_per_socket,
    ):
        self.host = host
        self.port = port
        self.sockets = {}
        self._multicast = _parse_group(multicast_group, multicast_interface)
        self._data_socket = -1
        self._receive_buffer_bytes = receive_buffer_bytes
        self._symbols_per_socket = symbols_per_socket
        self._roomy = {}

    cdef int c_init(self, const FeedOptions& options, const LivenessLimits& limits) except -1:
        self._feed.reset(new Feed(options))
        self._liveness.reset(new Liveness(limits))
        return 0

    def __dealloc__(self):
        with nogil:
            self._feed.reset()

    cdef Feed* c_feed(self) noexcept nogil:
        return self._feed.get()

    async def find_server(self, loop) -> None:
        """Looks the host up, and joins the multicast group of what it sends. Raises NetworkError."""
        try:
            found = await loop.getaddrinfo(
                self.host, self.port, family=socket_module.AF_INET, type=socket_module.SOCK_DGRAM
            )
        except OSError as error:
            text = f"the feed's host {self.host!r} has no IPv4 address ({error}): correct the host"
            raise NetworkError(text) from None
        self._ip = found[0][4][0]
        if self._multicast is None:
            return
        cdef string source = self._ip.encode()
        cdef string group = self._multicast[0].encode()
        cdef uint16_t port = self._multicast[1]
        cdef string interface = self._multicast[2].encode()
        cdef int number
        with nogil:
            number = deref(self._feed).open_multicast(
                group.c_str(), port, interface.c_str(), source.c_str(), self._receive_buffer_bytes)
        if number < 0:
            raise NetworkError(
                f"cannot join {self._multicast[0]}:{port} on {self._multicast[2]}: {os.strerror(-number)}; name an "
                "IPv4 multicast group and the address of a local interface"
            )
        self._data_socket = number

    # -- sockets -----------------------------------------------------------------------------------------------

    def socket_for(self, str symbol) -> int:
        """One with room that has not carried the symbol: data of an old subscription may still be under way there."""
        for number, held in self._roomy.items():
            if symbol not in held.carried:
                return number
        return self.open_socket()

    def open_socket(self) -> int:
        cdef string ip = self._ip.encode()
        cdef int number
        with nogil:
            number = deref(self._feed).open_socket(ip.c_str(), <uint16_t>self.port, self._receive_buffer_bytes)
        if number < 0:
            raise NetworkError(f"cannot open a socket to {self._ip}:{self.port}: {os.strerror(-number)}")
        self.sockets[number] = self._roomy[number] = _Socket()
        return number

    def close_all(self) -> None:
        for number in list(self.sockets):
            self._close(number)
        cdef int group = self._data_socket
        if group >= 0:
            self._data_socket = -1
            with nogil:
                deref(self._feed).close_socket(group)

    def _close(self, int number) -> None:
        del self.sockets[number]
        self._roomy.pop(number, None)
        with nogil:
            deref(self._feed).close_socket(number)

    def send(self, int number, str text) -> None:
        cdef string request = text.encode()
        cdef int error
        with nogil:
            error = deref(self._feed).send_text(number, request.data(), request.size())
        if error:
            # A refused port shows here or on receiving; either way the missing answer is what counts.
            _logger.debug("sending %r to %s:%s failed: %s", text, self.host, self.port, os.strerror(error))

    # -- pairs -------------------------------------------------------------------------------------------------

    def add_symbol(self, OrderBook book, str rule_name) -> int:
        """The number of a new symbol, whose data goes to `book`. ConfigurationError if the book's tick is unknown."""
        cdef SequenceRule rule = <SequenceRule><int>SEQUENCE_RULES[rule_name]
        cdef int number
        book.c_fix_steps()
        with nogil:
            number = deref(self._feed).add_symbol(book.c_book(), book.c_tick_size, book.c_lot_size, rule)
        return number

    def enter(self, entry, int number) -> None:
        """The pair is to be carried by this socket, once the server answers."""
        held = self.sockets[number]
        entry.socket = number
        held.pairs += 1
        held.carried.add(entry.symbol)
        if held.pairs == self._symbols_per_socket:
            del self._roomy[number]
        cdef int symbol = entry.number
        cdef string name = entry.symbol.encode()
        with nogil:
            deref(self._feed).expect_answer(number, name, symbol, self._data_socket)

    def leave(self, entry) -> None:
        """Tells the server, and forgets an answer that did not come. A socket without pairs is closed."""
        cdef int number = entry.socket
        cdef int symbol = entry.number
        entry.socket = -1
        deref(self._liveness).unsubscribed(symbol)
        if number not in self.sockets:
            return
        with nogil:
            deref(self._feed).forget_answer(number, symbol)
        self.send(number, "-" + entry.symbol)
        held = self.sockets[number]
        held.pairs -= 1
        if held.pairs == 0:
            self._close(number)
        else:
            self._roomy[number] = held

    def unbind(self, entry, bint silent) -> None:
        """No data reaches the pair's book, which is invalid: "disconnected" if `silent`, else "gap"."""
        cdef int symbol = entry.number
        cdef BookInvalid reason = BookInvalid.disconnected if silent else BookInvalid.gap
        with nogil:
            deref(self._feed).unbind(symbol, reason)

    # -- liveness ----------------------------------------------------------------------------------------------

    def watch(self, entry, int64_t now_ns) -> None:
        """The pair is subscribed from now on (monotonic time)."""
        cdef int socket = entry.socket if self._data_socket < 0 else self._data_socket
        deref(self._liveness).subscribed(deref(self._feed), entry.number, socket, now_ns)

    def look(self, int64_t now_ns) -> list:
        """[(number, name of the trouble)] of the pairs that have one."""
        cdef vector[SymbolTrouble] found
        cdef size_t i
        with nogil:
            deref(self._liveness).look(deref(self._feed), now_ns, found)
        return [(found[i].symbol, TROUBLE_NAMES[<int>found[i].trouble]) for i in range(found.size())]

    def state(self, int number) -> str:
        """ "LIVE", "STALE", "DEAD" or "UNSUBSCRIBED"."""
        return STATE_NAMES[<int>deref(self._liveness).state(number)]


def _parse_group(str group, str interface) -> tuple | None:
    if group is None:
        return None
    address, _, port = group.rpartition(":")
    try:
        if socket_module.inet_aton(address)[0] in range(224, 240) and 1 <= int(port) <= 65535:
            return address, int(port), interface
    except (OSError, ValueError):
        pass
    raise ConfigurationError(f"multicast_group is {group!r}; it must be a group and a port, as in '239.1.2.3:5007'")
