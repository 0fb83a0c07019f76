"""Updates about orders that are not known yet: kept for a while, because the order may become known."""

from __future__ import annotations

from collections import OrderedDict

from qtxconn.core.types import OrderUpdate, TradeUpdate

Update = OrderUpdate | TradeUpdate


class ParkedUpdates:
    """Bounded by count and by time; found by either id. Times are monotonic ns."""

    def __init__(self, count_max: int, time_max_ns: int) -> None:
        self.count_max = count_max
        self.time_max_ns = time_max_ns
        self._by_number: OrderedDict[int, tuple[int, Update]] = OrderedDict()  # number -> (parked at, update)
        self._by_id: dict[tuple[str, str], list[int]] = {}
        self._next_number = 0

    def __len__(self) -> int:
        return len(self._by_number)

    def park(self, update: Update, now_ns: int) -> None:
        self._by_number[self._next_number] = (now_ns, update)
        for key in self._keys(update):
            self._by_id.setdefault(key, []).append(self._next_number)
        self._next_number += 1

    def take(self, trading_pair: str, *ids: str | None) -> list[Update]:
        """The updates that carry one of these ids, in the order they came; they are no longer parked."""
        numbers = {number for name in ids if name for number in self._by_id.get((trading_pair, name), ())}
        return [self._remove(number) for number in sorted(numbers)]

    def expire(self, now_ns: int) -> list[Update]:
        """Those that have waited too long, or are too many, oldest first."""
        expired = []
        while self._by_number:
            number, (parked_ns, _) = next(iter(self._by_number.items()))
            if now_ns - parked_ns < self.time_max_ns and len(self._by_number) <= self.count_max:
                break
            expired.append(self._remove(number))
        return expired

    def _remove(self, number: int) -> Update:
        update = self._by_number.pop(number)[1]
        for key in self._keys(update):
            self._by_id[key].remove(number)
            if not self._by_id[key]:
                del self._by_id[key]
        return update

    @staticmethod
    def _keys(update: Update) -> set[tuple[str, str]]:
        ids = (update.client_order_id, update.exchange_order_id)
        return {(update.trading_pair, name) for name in ids if name}
