"""Types of the QTX market-data feed."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple, Self

from qtxconn.core.clock import Clock
from qtxconn.core.order_book import OrderBook
from qtxconn.perf.latency import LatencyRecorder
from qtxconn.qtx.feed_queues import FeedQueue
from qtxconn.qtx.strategy import Strategy

class QtxPacket(NamedTuple):
    type: int
    index: int
    tx_ms: int
    event_ms: int
    local_ns: int
    sn_id: int
    asks: list[tuple[float, float]]
    bids: list[tuple[float, float]]

def parse_packet(datagram: bytes, header_layout: str = "sdk") -> QtxPacket: ...

class UdpFeed:
    on_book: Callable[[str], None] | None
    on_trade: Callable[[str, Decimal, Decimal, bool, float], None] | None
    def __init__(
        self,
        host: str,
        port: int,
        *,
        clock: Clock = ...,
        driver: str = "asyncio",
        header_layout: str = "sdk",
        depth_semantics: str = "merge",
        sequence: str | Mapping[str, str] = "contiguous",
        multicast_group: str | None = None,
        multicast_interface: str = "0.0.0.0",
        receive_buffer_bytes: int = ...,
        symbols_per_socket: int = 100,
        subscribe_timeout_s: float = 1.0,
        stale_after_s: float = 10.0,
        dead_after_s: float = 60.0,
        cpu: int = -1,
        spin_ns: int = ...,
        yield_ns: int = ...,
    ) -> None: ...
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def driver(self) -> str: ...
    @property
    def state(self) -> str: ...
    def set_strategy(self, strategy: Strategy | None) -> None: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *exc_info: object) -> None: ...
    async def subscribe(self, symbol: str, book: OrderBook) -> None: ...
    async def subscribe_many(self, books: Mapping[str, OrderBook]) -> None: ...
    async def subscribe_and_get_queues(
        self, symbol: str, book: OrderBook, maxsize: int = 1000, overflow: str = "conflate"
    ) -> dict[str, FeedQueue]: ...
    def unsubscribe(self, trading_pair: str) -> None: ...
    async def ping(self, timeout_s: float = 1.0) -> bool: ...
    def poll(self, max_n: int = ...) -> int: ...
    @property
    def trading_pairs(self) -> list[str]: ...
    def symbol_number(self, trading_pair: str) -> int: ...
    def symbol_state(self, trading_pair: str) -> str: ...
    def get_statistics(self) -> dict[str, Any]: ...
    def latency(self) -> LatencyRecorder: ...
