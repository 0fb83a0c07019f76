"""The demo's strategy: quotes both sides at or inside the touch, requotes as it moves, keeps its position small."""

from __future__ import annotations

import asyncio
from decimal import Decimal

from qtxconn.core.events import (
    MarketOrderFailureEvent,
    OrderCancelledEvent,
    OrderEventListener,
    OrderExpiredEvent,
    OrderFilledEvent,
    TradeEventListener,
)
from qtxconn.core.types import OrderType, TradeType
from qtxconn.errors import OrderRejectedError
from qtxconn.qtx.hybrid import QtxPerpetualDerivative

# The venue takes 300 orders in 10 s; two sides at this pace stay below it.
REQUOTE_INTERVAL_NS = 150_000_000
# A quote that the position asks for is not waited for longer than this: it is crossed.
CROSS_AFTER_NS = 1_500_000_000


class MarketMaker(OrderEventListener, TradeEventListener):
    """Quotes `quote_amount` (base asset) on each side while the position stays within `position_limit`.

    It reacts inside the book callback, so an order leaves in the same turn of the loop that the packet came in.
    """

    def __init__(
        self,
        connector: QtxPerpetualDerivative,
        trading_pair: str,
        quote_amount: Decimal,
        position_limit: Decimal,
    ) -> None:
        self._connector = connector
        self._pair = trading_pair
        self._book = connector.get_order_book(trading_pair)
        self._tick = connector.get_trading_rule(trading_pair).min_price_increment
        self._clock = connector._clock
        self._amount = quote_amount
        self._limit = position_limit
        self.position = Decimal(0)
        """Signed, base asset: the sum of own fills since the start, so it is never behind the account's stream."""
        self._quotes: dict[TradeType, str] = {}  # side -> client order id of the live quote
        self._prices: dict[TradeType, Decimal] = {}
        self._requoted_ns: dict[TradeType, int] = {TradeType.BUY: 0, TradeType.SELL: 0}
        self._limit_since_ns = 0
        self._quoting = False
        self.crossings = 0
        self.post_only_refusals = 0

    # -- quoting -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._quoting = True

    def on_book(self, trading_pair: str) -> None:
        """Called for every change of a book, on the event loop's thread."""
        if not self._quoting or trading_pair != self._pair or not self._book.valid:
            return
        bid, ask = self._book.best_bid, self._book.best_ask
        # A spread wider than a tick leaves room inside it.
        inside = self._tick if ask - bid > 2 * self._tick else Decimal(0)
        self._quote(TradeType.BUY, bid + inside, wanted=self.position < self._limit)
        self._quote(TradeType.SELL, ask - inside, wanted=self.position > -self._limit)
        self._cross_if_stuck()

    def _quote(self, side: TradeType, price: Decimal, wanted: bool) -> None:
        client_order_id = self._quotes.get(side)
        now_ns = self._clock.now_ns()
        if client_order_id is not None:
            if not wanted or (price != self._prices[side] and now_ns - self._requoted_ns[side] > REQUOTE_INTERVAL_NS):
                self._connector.cancel(self._pair, client_order_id)
            return
        if not wanted or now_ns - self._requoted_ns[side] < REQUOTE_INTERVAL_NS:
            return
        self._requoted_ns[side] = now_ns
        self._prices[side] = price
        self._quotes[side] = self._place(side, OrderType.LIMIT_MAKER, price)

    def _cross_if_stuck(self) -> None:
        """A position that stays at the limit is reduced by taking liquidity."""
        now_ns = self._clock.now_ns()
        if abs(self.position) < self._limit:
            self._limit_since_ns = now_ns
        elif now_ns - self._limit_since_ns > CROSS_AFTER_NS:
            self._limit_since_ns = now_ns
            self._take(self._reducing_side(), self._amount)

    def _reducing_side(self) -> TradeType:
        return TradeType.SELL if self.position > 0 else TradeType.BUY

    def _take(self, side: TradeType, amount: Decimal) -> str:
        self.crossings += 1
        return self._place(side, OrderType.MARKET, None, amount)

    def _place(
        self, side: TradeType, order_type: OrderType, price: Decimal | None, amount: Decimal | None = None
    ) -> str:
        place = self._connector.buy if side is TradeType.BUY else self._connector.sell
        return place(self._pair, amount or self._amount, order_type, price)

    # -- ending ------------------------------------------------------------------------------------------------

    async def stop(self, timeout_s: float = 30.0) -> None:
        """Cancels every quote, then flattens by taking liquidity until the position is zero."""
        self._quoting = False
        await self._connector.cancel_all(timeout_s)
        async with asyncio.timeout(timeout_s):
            while self.position:
                client_order_id = self._flatten()
                order = self._connector.in_flight_orders[client_order_id]
                await order.wait_until_done()
                if order.is_failure:
                    raise OrderRejectedError(f"the position of {self.position} cannot be closed: {order!r}")

    def _flatten(self) -> str:
        """Takes the position's opposite. One smaller than a quote may be below the venue's minimum: it grows first."""
        side, amount = self._reducing_side(), abs(self.position)
        if amount < self._amount:
            side, amount = side.opposite, self._amount
        return self._take(side, amount)

    # -- own orders --------------------------------------------------------------------------------------------

    def on_order_filled(self, event: OrderFilledEvent) -> None:
        self.position += event.amount if event.trade_type is TradeType.BUY else -event.amount

    def on_order_completed(self, event: object) -> None:
        self._forget(event.order_id)

    def on_order_cancelled(self, event: OrderCancelledEvent) -> None:
        self._forget(event.order_id)

    def on_order_expired(self, event: OrderExpiredEvent) -> None:
        self._forget(event.order_id)

    def on_order_failed(self, event: MarketOrderFailureEvent) -> None:
        # The touch moved between the decision and the venue: a post-only quote that would take is refused.
        self.post_only_refusals += event.error_type == "PostOnlyRejectedError"
        self._forget(event.order_id)

    def _forget(self, client_order_id: str) -> None:
        for side, quoted in list(self._quotes.items()):
            if quoted == client_order_id:
                del self._quotes[side]
