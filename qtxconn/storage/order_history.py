"""Finished orders and their fills in SQLite, for queries; written by a thread of its own, never in an order's way."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import sqlite3
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from qtxconn.core.types import MarketEvent, OrderState, OrderType, PositionAction, TokenAmount, TradeType
from qtxconn.errors import QtxconnError

if TYPE_CHECKING:
    from qtxconn.core.connector_base import ConnectorBase
    from qtxconn.core.in_flight_order import InFlightOrder

SCHEMA_VERSION = 2
BACKLOG_MAX = 100_000  # orders waiting for a disk that takes none; beyond it they are dropped and counted
BATCH_MAX = 1_000
BUSY_TIMEOUT_S = 5.0
RETRY_S = 1.0

# Numbers are decimal text, so that nothing is rounded; times are ns of local wall time, venue_ns by the venue's clock.
# `fees` is JSON: [[asset, amount], ...].
_SCHEMA = """
CREATE TABLE orders (
    connector TEXT NOT NULL,
    client_order_id TEXT NOT NULL,
    exchange_order_id TEXT,
    trading_pair TEXT NOT NULL,
    trade_type TEXT NOT NULL,
    order_type TEXT NOT NULL,
    position TEXT NOT NULL,
    price TEXT,
    amount TEXT NOT NULL,
    executed_base TEXT NOT NULL,
    executed_quote TEXT NOT NULL,
    state TEXT NOT NULL,
    created_ns INTEGER NOT NULL,
    ended_ns INTEGER NOT NULL,
    PRIMARY KEY (connector, client_order_id)
) STRICT;
CREATE INDEX orders_by_time ON orders (created_ns);
CREATE TABLE fills (
    connector TEXT NOT NULL,
    client_order_id TEXT NOT NULL,
    trade_id TEXT NOT NULL,
    trading_pair TEXT NOT NULL,
    trade_type TEXT NOT NULL,
    price TEXT NOT NULL,
    base TEXT NOT NULL,
    quote TEXT NOT NULL,
    is_taker INTEGER NOT NULL,
    venue_ns INTEGER NOT NULL,
    fees TEXT NOT NULL,
    PRIMARY KEY (connector, client_order_id, trade_id)
) STRICT;
CREATE INDEX fills_by_time ON fills (venue_ns);
"""

# From the schema before, by its number. Schema 1 had one fee of each fill.
_MIGRATIONS = {
    1: """
ALTER TABLE fills ADD COLUMN fees TEXT NOT NULL DEFAULT '[]';
UPDATE fills SET fees = json_array(json_array(fee_asset, fee)) WHERE fee_asset != '';
ALTER TABLE fills DROP COLUMN fee;
ALTER TABLE fills DROP COLUMN fee_asset;
""",
}

_ENDS = (
    MarketEvent.BuyOrderCompleted,
    MarketEvent.SellOrderCompleted,
    MarketEvent.OrderCancelled,
    MarketEvent.OrderExpired,
    MarketEvent.OrderFailure,
)
_log = logging.getLogger("qtxconn.history")


class FinishedOrder(NamedTuple):
    """An order that has ended. `price` in quote per base, amounts in base or quote asset, times in ns."""

    connector: str
    client_order_id: str
    exchange_order_id: str | None
    trading_pair: str
    trade_type: TradeType
    order_type: OrderType
    position: PositionAction
    price: Decimal | None
    amount: Decimal
    executed_base: Decimal
    executed_quote: Decimal
    state: OrderState
    created_ns: int
    ended_ns: int


class RecordedFill(NamedTuple):
    """One execution of an order that has ended; a negative fee is a rebate, `venue_ns` is by the venue's clock."""

    connector: str
    client_order_id: str
    trade_id: str
    trading_pair: str
    trade_type: TradeType
    price: Decimal
    base: Decimal
    quote: Decimal
    is_taker: bool
    venue_ns: int
    fees: tuple[TokenAmount, ...]


class HistoryError(QtxconnError):
    """The history file cannot be used; the message says what to do."""


class OrderHistory:
    """The history in the SQLite file `path` (made, 0600, if it is not there).

    `attach(connector)` records every order of the connector when it ends; `flush()` waits until that is on the disk.
    Several processes may share a file. Raises HistoryError if it cannot be used.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.abspath(os.fspath(path))
        self.dropped_orders = 0
        self._queue: queue.Queue[Any] = queue.Queue(BACKLOG_MAX)
        self._closing = threading.Event()
        with self._errors():
            Path(self.path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            self._prepare()
        self._thread = threading.Thread(target=self._run, name="qtxconn order history", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"OrderHistory({self.path!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # -- recording ---------------------------------------------------------------------------------------------

    def attach(self, connector: ConnectorBase) -> None:
        """Records the connector's orders as they end, and those that have ended already."""
        tracker, name = connector._order_tracker, connector.name

        def record(order_id: str) -> None:
            order = tracker.fetch_cached_order(order_id)
            if order is not None:
                self.add(name, order)

        for tag in (*_ENDS, MarketEvent.OrderFilled):  # a fill of an order that has ended came late
            connector.add_listener(tag, lambda event: record(event.order_id))
        connector.add_listener(MarketEvent.TradeUpdate, lambda real: record(real.client_order_id))
        for order in tracker.cached_orders.values():
            self.add(name, order)

    def add(self, connector: str, order: InFlightOrder) -> None:
        """Records an order as it is now, in place of what was recorded of it before. Returns at once."""
        pair, side = order.trading_pair, order.trade_type.name
        row = (
            connector, order.client_order_id, order.exchange_order_id, pair, side, order.order_type.name,
            order.position.value, None if order.price is None else str(order.price), str(order.amount),
            str(order.executed_amount_base), str(order.executed_amount_quote), order.current_state.name,
            order.creation_timestamp_ns, order.done_ns or order.creation_timestamp_ns,
        )  # fmt: skip
        fill_rows = [
            (
                connector, order.client_order_id, fill.trade_id, pair, side, str(fill.fill_price),
                str(fill.fill_base_amount), str(fill.fill_quote_amount), int(fill.is_taker),
                round(fill.fill_timestamp * 1e6) * 1000,
                json.dumps([(fee.token, str(fee.amount)) for fee in fill.fee.flat_fees]),
            )
            for fill in order.order_fills.values()
        ]  # fmt: skip
        try:
            self._queue.put_nowait((row, fill_rows))
        except queue.Full:
            self.dropped_orders += 1

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Waits until everything added so far is written; False if that takes longer than `timeout_s` seconds."""
        written = threading.Event()
        try:
            self._queue.put(written, timeout=timeout_s)
        except queue.Full:
            return False
        return written.wait(timeout_s)

    def close(self) -> None:
        """Writes what is waiting and ends the thread. May be called twice."""
        if not self._closing.is_set():
            self._closing.set()
            self._queue.put(None)
        self._thread.join()

    # -- queries -----------------------------------------------------------------------------------------------

    def orders(
        self,
        *,
        trading_pair: str | None = None,
        state: OrderState | None = None,
        client_order_id: str | None = None,
        since_ns: int | None = None,
        until_ns: int | None = None,
        limit: int = 1_000,
    ) -> list[FinishedOrder]:
        """Orders that have ended, newest first; created at or after `since_ns` and before `until_ns`."""
        rows = self._select(
            "orders", "created_ns", since_ns, until_ns, limit,
            trading_pair=trading_pair, state=None if state is None else state.name, client_order_id=client_order_id,
        )  # fmt: skip
        return [
            FinishedOrder(
                *row[:4], TradeType[row[4]], OrderType[row[5]], PositionAction(row[6]),
                None if row[7] is None else Decimal(row[7]), *map(Decimal, row[8:11]), OrderState[row[11]], *row[12:],
            )
            for row in rows
        ]  # fmt: skip

    def fills(
        self,
        *,
        trading_pair: str | None = None,
        client_order_id: str | None = None,
        since_ns: int | None = None,
        until_ns: int | None = None,
        limit: int = 1_000,
    ) -> list[RecordedFill]:
        """Fills of these orders, newest first; at or after `since_ns` and before `until_ns` by the venue's clock."""
        rows = self._select(
            "fills", "venue_ns", since_ns, until_ns, limit, trading_pair=trading_pair, client_order_id=client_order_id
        )
        return [
            RecordedFill(
                *row[:4], TradeType[row[4]], *map(Decimal, row[5:8]), bool(row[8]), row[9],
                tuple(TokenAmount(asset, Decimal(amount)) for asset, amount in json.loads(row[10])),
            )
            for row in rows
        ]  # fmt: skip

    def _select(
        self, table: str, time: str, since_ns: int | None, until_ns: int | None, limit: int, **equal: str | None
    ) -> list[tuple[Any, ...]]:
        conditions = {f"{column} = ?": value for column, value in equal.items()}
        conditions |= {f"{time} >= ?": since_ns, f"{time} < ?": until_ns}
        asked = {text: value for text, value in conditions.items() if value is not None}
        where = f"WHERE {' AND '.join(asked)}" if asked else ""
        with self._errors(), contextlib.closing(self._connect()) as database:
            return database.execute(
                f"SELECT * FROM {table} {where} ORDER BY {time} DESC, rowid DESC LIMIT ?", (*asked.values(), limit)
            ).fetchall()

    # -- the file ----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise HistoryError(f"{self.path}: {error}; move the file away to begin a new history") from None
        except OSError as error:
            raise HistoryError(f"{self.path}: {error.strerror}; give a path that you may write") from None

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)

    def _prepare(self) -> None:
        with contextlib.closing(self._connect()) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("BEGIN IMMEDIATE")
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise HistoryError(
                    f"{self.path}: has schema {version}, this version of qtxconn knows {SCHEMA_VERSION}; use the "
                    "version that wrote it, or another path"
                )
            steps = [_SCHEMA] if version == 0 else [_MIGRATIONS[old] for old in range(version, SCHEMA_VERSION)]
            for statement in "".join(steps).split(";"):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            database.execute("COMMIT")

    def _run(self) -> None:
        database = self._connect()
        database.execute("PRAGMA synchronous = NORMAL")
        closing = False
        while not closing:
            batch = [self._queue.get()]
            with contextlib.suppress(queue.Empty):
                while len(batch) < BATCH_MAX:
                    batch.append(self._queue.get_nowait())
            closing = None in batch
            self._write([item for item in batch if isinstance(item, tuple)], database)
            for item in batch:
                if isinstance(item, threading.Event):
                    item.set()
        database.close()

    def _write(self, batch: list[tuple[Any, Any]], database: sqlite3.Connection) -> None:
        """One transaction; tried again until it is written, or the history is closed."""
        newest = {row[:2]: (row, fills) for row, fills in batch}.values()  # of each order what was added last
        while newest:
            try:
                database.execute("BEGIN IMMEDIATE")
                database.executemany(f"REPLACE INTO orders VALUES ({_places(14)})", [row for row, _ in newest])
                # Provisional fills give way to the real ones.
                database.executemany(
                    "DELETE FROM fills WHERE connector = ? AND client_order_id = ?", [row[:2] for row, _ in newest]
                )
                database.executemany(
                    f"INSERT INTO fills VALUES ({_places(11)})", [fill for _, fills in newest for fill in fills]
                )
                database.execute("COMMIT")
                return
            except sqlite3.Error as error:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                if self._closing.is_set():
                    self.dropped_orders += len(batch)
                    _log.error("%s: %d orders were not recorded: %s", self.path, len(batch), error)
                    return
                _log.warning("%s: %s; trying again in %s s", self.path, error, RETRY_S)
                self._closing.wait(RETRY_S)


def _places(number: int) -> str:
    return ", ".join("?" * number)
