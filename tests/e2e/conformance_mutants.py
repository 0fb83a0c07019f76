"""Connectors with the mistakes that authors of new exchanges make, each with the case of the kit that must name it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from qtxconn.core.types import (
    AddedToCostTradeFee,
    FundingPayment,
    OrderType,
    OrderUpdate,
    PositionAction,
    TokenAmount,
    TradeType,
    TradeUpdate,
)
from qtxconn.errors import NetworkError, OrderNotFoundError, OrderRejectedError, OutcomeUnknownError
from qtxconn.exchanges.binance import messages
from qtxconn.exchanges.binance.perpetual import BinancePerpetual

MUTANTS: list[tuple[int, type[BinancePerpetual]]] = []


def named_by(case: int) -> Callable[[type[BinancePerpetual]], type[BinancePerpetual]]:
    """The number of a case that must fail for this connector."""

    def register(mutant: type[BinancePerpetual]) -> type[BinancePerpetual]:
        MUTANTS.append((case, mutant))
        return mutant

    return register


class _NoScanner:
    def process_message(self, _: str | bytes) -> bool:
        return False


class Plain(BinancePerpetual):
    """Every message of the user stream goes through the parsers in Python, as a new exchange's do."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._user_scanner = _NoScanner()

    def change_fill(self, fill: TradeUpdate) -> TradeUpdate:
        return fill

    def _on_order_trade_update(self, event: dict[str, Any]) -> None:
        update, fill = messages.parse_order_trade_update(event, self._pair_of(event["o"]["s"]))
        self._process_report(update, fill and self.change_fill(fill))
        self._balances_changed()


@named_by(206)
class SellsAsBuys(BinancePerpetual):
    async def _place_order(
        self, order_id: str, pair: str, amount: Any, trade_type: Any, *args: Any, **options: Any
    ) -> Any:
        return await super()._place_order(order_id, pair, amount, TradeType.BUY, *args, **options)


@named_by(906)
class ShortWithoutASign(BinancePerpetual):
    def _set_position(self, position: Any, *venue_s: float) -> None:
        super()._set_position(position._replace(amount=abs(position.amount)), *venue_s)


@named_by(216)
class FeeAsIncome(Plain):
    def change_fill(self, fill: TradeUpdate) -> TradeUpdate:
        fees = [TokenAmount(fee.token, -fee.amount) for fee in fill.fee.flat_fees]
        return fill._replace(fee=AddedToCostTradeFee(flat_fees=fees))


@named_by(701)
class TradeIdsOfItsOwn(Plain):
    numbers = itertools.count(1)

    def change_fill(self, fill: TradeUpdate) -> TradeUpdate:
        return fill._replace(trade_id=f"t{next(self.numbers)}")


@named_by(217)
class MakerAsTaker(Plain):
    def change_fill(self, fill: TradeUpdate) -> TradeUpdate:
        return fill._replace(is_taker=True)


@named_by(412)
class UnknownOnCancelIsCancelled(BinancePerpetual):
    async def _place_cancel(self, order_id: str, order: Any) -> OrderUpdate | bool:
        try:
            return await super()._place_cancel(order_id, order)
        except OrderNotFoundError:
            return True


@named_by(417)
class UnansweredCancelIsCancelled(BinancePerpetual):
    async def _place_cancel(self, order_id: str, order: Any) -> OrderUpdate | bool:
        try:
            return await super()._place_cancel(order_id, order)
        except (NetworkError, OutcomeUnknownError):
            return True


@named_by(613)
class UnansweredOrderHasFailed(BinancePerpetual):
    async def _place_order(self, *args: Any, **options: Any) -> Any:
        try:
            return await super()._place_order(*args, **options)
        except (NetworkError, OutcomeUnknownError) as error:
            raise OrderRejectedError(str(error)) from error


@named_by(224)
class CloseMayOpen(BinancePerpetual):
    async def _place_order(self, *args: Any, **options: Any) -> Any:
        options["position_action"] = PositionAction.OPEN
        return await super()._place_order(*args, **options)


@named_by(301)
class PostOnlyForgotten(BinancePerpetual):
    async def _place_order(
        self, order_id: str, pair: str, amount: Any, side: Any, kind: Any, *args: Any, **options: Any
    ) -> Any:
        kind = OrderType.LIMIT if kind is OrderType.LIMIT_MAKER else kind
        return await super()._place_order(order_id, pair, amount, side, kind, *args, **options)


@named_by(715)
class NothingReadAfterReconnect(BinancePerpetual):
    status_poll_interval_s = 1e9

    async def _recover(self) -> None: ...


@named_by(717)
class StreamKeyForgotten(BinancePerpetual):
    def _on_user_message(self, data: str | bytes, *times: int) -> None:
        if "listenKeyExpired" not in str(data):
            super()._on_user_message(data, *times)


@named_by(1016)
class SubscribedOnce(BinancePerpetual):
    async def _start_market_data(self) -> None:
        await super()._start_market_data()
        for stream in self._market.streams:
            stream._on_connected = None


@named_by(1105)
class RetryAfterIgnored(BinancePerpetual):
    async def _start_network(self) -> None:
        self._throttler.pause_until = lambda _: None
        await super()._start_network()


@named_by(1106)
class CountOfTheVenueIgnored(BinancePerpetual):
    async def _start_network(self) -> None:
        self._throttler.observe_used = lambda *_: None
        await super()._start_network()


@named_by(929)
class FundingWithoutAnId(BinancePerpetual):
    numbers = itertools.count(1)

    async def _request_funding_payments(self, since_s: float) -> list[FundingPayment]:
        payments = await super()._request_funding_payments(since_s)
        return [payment._replace(payment_id=f"f{next(self.numbers)}") for payment in payments]


@named_by(1202)
class HedgeSideBySideOfTheOrder(BinancePerpetual):
    async def _place_order(self, *args: Any, **options: Any) -> Any:
        options["position_action"] = PositionAction.OPEN  # a sell is then always of the short position
        return await super()._place_order(*args, **options)


@named_by(1301)
class CountdownStartedOnce(BinancePerpetual):
    started = False

    async def _place_countdown_cancel(self, pair: str, timeout_s: float) -> None:
        if timeout_s == 0.0 or not self.started:
            self.started = True
            await super()._place_countdown_cancel(pair, timeout_s)


@named_by(1401)
class TriggerOfTheLastPrice(BinancePerpetual):
    async def _place_order(self, *args: Any, **options: Any) -> Any:
        options.pop("trigger_source", None)
        return await super()._place_order(*args, **options)


@named_by(501)
class AmendAnsweredFromMemory(BinancePerpetual):
    """Says that the amend is done and never sends it."""

    async def _place_amend(self, order_id: str, order: Any, price: Any, amount: Any) -> OrderUpdate:
        update = await self._request_order_status(order)
        return update._replace(misc_updates={**update.misc_updates, "price": price, "amount": amount})
