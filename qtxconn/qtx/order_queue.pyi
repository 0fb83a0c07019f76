"""Types of the shared-memory order queue, both ends."""

from typing import NamedTuple, Self

MODE_REGISTER_KEY: int
MODE_PLACE: int
MODE_CANCEL: int
SIDE_BUY: int
SIDE_SELL: int
TYPE_IOC: int
TYPE_POST_ONLY: int
TYPE_GTC: int
TYPE_FOK: int
QUEUE_CLOSED: str
QUEUE_REPLACED: str
SLOT_COUNT: int
SEGMENT_SIZE: int

class QueueAnswer(NamedTuple):
    slot: int
    mode: int
    client_order_id: int
    place_ts_ns: int
    res_ts_ns: int
    message: bytes
    late: bool

class QueuedRequest(NamedTuple):
    slot: int
    mode: int
    side: int
    pos_side: int
    client_order_id: int
    order_type: int
    price_match: int
    place_ts_ns: int
    size: str
    price: str
    symbol: str
    api_key: str
    api_secret: str

class OrderQueue:
    @classmethod
    def attach(
        cls,
        name: str,
        *,
        allow_shared_access: bool = False,
        wipe_secrets: bool = True,
        stall_limit_ns: int = ...,
        spin_ns: int = ...,
        yield_ns: int = ...,
        sleep_min_ns: int = ...,
        sleep_max_ns: int = ...,
        linger_ns: int = ...,
    ) -> OrderQueue: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc_info: object) -> None: ...
    @property
    def name(self) -> str: ...
    def register_key(self, api_key: str, api_secret: str, *, place_ts_ns: int) -> int: ...
    def submit_place(
        self,
        client_order_id: int,
        symbol: str,
        side: int,
        size: str,
        price: str,
        order_type: int = 2,
        *,
        place_ts_ns: int,
        price_match: int = 0,
        pos_side: int = 0,
    ) -> int: ...
    def submit_cancel(self, client_order_id: int, symbol: str, *, place_ts_ns: int) -> int: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def fileno(self) -> int: ...
    def poll_answers(self, max_n: int = 100) -> list[QueueAnswer]: ...
    def wait_answer(self, slot: int, timeout_ns: int) -> QueueAnswer | None: ...
    def expire(self, slot: int) -> bool: ...
    @property
    def outstanding(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    @property
    def closed_reason(self) -> str | None: ...
    def check(self) -> bool: ...
    def get_statistics(self) -> dict[str, int]: ...
    def close(self) -> None: ...

class OrderManagerQueue:
    @classmethod
    def create(
        cls,
        name: str,
        *,
        spin_ns: int = ...,
        yield_ns: int = ...,
        sleep_min_ns: int = ...,
        sleep_max_ns: int = ...,
    ) -> OrderManagerQueue: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc_info: object) -> None: ...
    @property
    def name(self) -> str: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def fileno(self) -> int: ...
    def take(self, max_n: int = 100) -> list[QueuedRequest]: ...
    def answer(self, slot: int, message: bytes, *, res_ts_ns: int = 0) -> bool: ...
    def close(self) -> None: ...
