"""A recorded session as the background market: its depth, ticker and trades are what own orders meet.

Depth and ticker describe one book, and the ticker may be ahead. They are merged by their update ids: a
price takes the word with the highest id; of a depth update older than the last ticker, prices at or inside
that ticker's touch are skipped; a ticker older than the last depth update is skipped. So the ambient book
is never crossed, and a stale word never overwrites a newer one. Where an own order has eaten into ambient
liquidity, the level stays smaller until the recording speaks of that price again. Recorded trades advance
the queue and fill own orders (`MatchingEngine.print_trade`).

Trade and update ids are the engine's own, times are the venue's clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qtxconn.errors import ConfigurationError
from qtxconn.sim.model import Side
from qtxconn.sim.recording import (
    DEPTH,
    SNAPSHOT,
    TICKER,
    TRADE,
    RecordedMessage,
    check_recording,
    read_recording,
    text_scaler,
)
from qtxconn.sim.venue import Venue


class ReplayMarket:
    """Plays a recording into one symbol's engine, `speed` times as fast as it was recorded, from now on.

    The constructor reads the file once to see that it is whole. At the end of the recording `finished` is
    True and the last book stays. Raises ConfigurationError (also from `step`, naming the line, where a
    message is malformed).
    """

    def __init__(self, venue: Venue, path: Path | str, speed: float = 1.0, symbol: str | None = None) -> None:
        if not speed > 0:
            raise ConfigurationError(f"speed must be above 0, not {speed}")
        if symbol is None and len(venue.instruments) != 1:
            raise ConfigurationError("the venue has several symbols: say which one the recording is of")
        self.path = Path(path)
        self.symbol = symbol or next(iter(venue.instruments))
        self.speed = speed
        span = check_recording(self.path)
        self.first_event_ns = span.first_ns
        """Receive time of the first message, ns."""
        self.duration_ns = span.last_ns - span.first_ns
        """Length as recorded, ns."""
        self.messages = span.messages
        self.played = 0
        self.gaps = 0
        """Depth updates that did not follow on from the one before."""
        self.finished = False
        self._engine = venue.engine(self.symbol)
        self._ticks = text_scaler(self._engine.instrument.tick_size)
        self._lots = text_scaler(self._engine.instrument.lot_size)
        self._start_ns = venue.clock.now_ns()
        self._source: Iterator[RecordedMessage] = read_recording(self.path)
        self._due_ns = self._start_ns
        self._depth_id = 0
        self._ticker_id = 0
        self._touch = (0, 1 << 62)  # ticks: the last ticker's bid and ask
        self._seen: tuple[dict[int, int], dict[int, int]] = ({}, {})  # price -> id of the depth that set it
        self._next = next(self._source, None)

    def next_event_ns(self) -> int | None:
        """When the next message is due (the clock's ns); None at the end."""
        return None if self._next is None else self._due_ns

    def step(self, until_ns: int) -> int:
        """Play every message due up to `until_ns`; returns their number."""
        before = self.played
        while self._next is not None and self._due_ns <= until_ns:
            self._play(self._next)
            self.played += 1
            self._next = next(self._source, None)
            if self._next is not None:
                offset_ns = int((self._next.receive_ns - self.first_event_ns) / self.speed)
                self._due_ns = max(self._due_ns, self._start_ns + offset_ns)
        self.finished = self._next is None
        return self.played - before

    # -- one message -------------------------------------------------------------------------------------

    def _play(self, message: RecordedMessage) -> None:
        if message.symbol not in ("", self.symbol):
            return
        try:
            if message.kind == TICKER:
                self._play_ticker(message.data)
            elif message.kind == DEPTH:
                self._play_depth(message.data)
            elif message.kind == TRADE:
                self._play_trade(message.data)
            elif message.kind == SNAPSHOT:
                self._play_snapshot(message.data)
        except (KeyError, ValueError, TypeError) as error:
            raise ConfigurationError(
                f"recording {self.path}, line {message.line}: not a {message.kind} message "
                f"({type(error).__name__}: {error})"
            ) from None

    def _play_ticker(self, data: dict[str, Any]) -> None:
        update_id = data["u"]
        if update_id <= self._depth_id or update_id <= self._ticker_id:
            return
        bid, ask = self._ticks(data["b"]), self._ticks(data["a"])
        if bid >= ask:
            raise ValueError(f"bid {data['b']} is not below ask {data['a']}")
        self._ticker_id = update_id
        self._touch = (bid, ask)
        engine, time_ms = self._engine, data["T"]
        engine.set_ambient_touch(Side.BUY, bid, self._lots(data["B"]), time_ms)
        engine.set_ambient_touch(Side.SELL, ask, self._lots(data["A"]), time_ms)
        engine.publish_ticker()

    def _play_depth(self, data: dict[str, Any]) -> None:
        update_id = data["u"]
        if update_id <= self._depth_id:
            return
        if self._depth_id and data["pu"] != self._depth_id and data["U"] > self._depth_id + 1:
            self.gaps += 1
        self._depth_id = update_id
        self._set_levels(data, "b", "a", update_id, data["T"])
        self._engine.publish()

    def _play_snapshot(self, data: dict[str, Any]) -> None:
        """Prices within its range become what it says, except where something newer has been heard."""
        update_id, time_ms = data["lastUpdateId"], data.get("T", 0)
        for side, key, seen in ((Side.BUY, "bids", self._seen[0]), (Side.SELL, "asks", self._seen[1])):
            listed = {self._ticks(price) for price, _ in data[key]}
            if not listed:
                continue
            book = self._engine.side(side)
            for price in list(book.levels.irange(min(listed), max(listed))):
                if price not in listed and self._is_news(side, price, update_id, seen):
                    self._engine.set_ambient(side, price, 0, time_ms)
        self._set_levels(data, "bids", "asks", update_id, time_ms)
        self._depth_id = max(self._depth_id, update_id)
        self._engine.publish()

    def _set_levels(self, data: dict[str, Any], bids: str, asks: str, update_id: int, time_ms: int) -> None:
        ticks, lots, set_ambient = self._ticks, self._lots, self._engine.set_ambient
        for side, key, seen in ((Side.BUY, bids, self._seen[0]), (Side.SELL, asks, self._seen[1])):
            for price_text, quantity_text in data[key]:
                price = ticks(price_text)
                if self._is_news(side, price, update_id, seen):
                    seen[price] = update_id
                    set_ambient(side, price, lots(quantity_text), time_ms)

    def _is_news(self, side: Side, price: int, update_id: int, seen: dict[int, int]) -> bool:
        """Whether the word of `update_id` on `price` is newer than what has been heard of it."""
        if update_id < self._ticker_id:
            bid, ask = self._touch
            if price >= bid if side is Side.BUY else price <= ask:
                return False
        return seen.get(price, 0) <= update_id

    def _play_trade(self, data: dict[str, Any]) -> None:
        aggressor = Side.SELL if data["m"] else Side.BUY
        self._engine.print_trade(aggressor, self._ticks(data["p"]), self._lots(data["q"]), data["T"])
        self._engine.publish_ticker()
