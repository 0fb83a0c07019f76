"""Connectors with one planted bug each, of kinds that real connectors have had; the simulation finds them all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from qtxconn.core.client_order_tracker import ClientOrderTracker
from qtxconn.core.in_flight_order import InFlightOrder
from qtxconn.core.types import FundingPayment, MarketEvent, OrderState, OrderUpdate, TradeUpdate
from qtxconn.errors import (
    NetworkError,
    OrderNotFoundError,
    OrderRejectedError,
    OutcomeUnknownError,
    QtxconnError,
)
from qtxconn.storage.journal import OrderJournal


@dataclass(frozen=True)
class Mutant:
    """A connector or journal class with a bug, and the mode in which it is simulated."""

    name: str
    mode: str
    mutate: Callable[[type], type] | None = None
    journal_class: type[OrderJournal] = OrderJournal


MUTANTS: list[Mutant] = []


def mutant(mode: str) -> Callable[[type], type]:
    """Puts a class in front of the connector class."""

    def register(overrides: type) -> type:
        name = overrides.__name__
        MUTANTS.append(Mutant(name, mode, lambda base: type(name, (overrides, base), {"name": base.name})))
        return overrides

    return register


def journal_mutant(journal_class: type[OrderJournal]) -> type[OrderJournal]:
    MUTANTS.append(Mutant(journal_class.__name__, "transport", journal_class=journal_class))
    return journal_class


def tracker_mutant(tracker_class: type[ClientOrderTracker]) -> type[ClientOrderTracker]:
    class Overrides:
        def _make_order_tracker(self, prefix: str) -> ClientOrderTracker:
            return tracker_class(
                self._pubsub, self._clock, client_order_id_prefix=prefix, itemised_fills=self.itemised_fills
            )

    Overrides.__name__ = tracker_class.__name__
    mutant("transport")(Overrides)
    return tracker_class


# Methods of the overrides below call `super()` on whatever class they are put in front of.

# -- submits ---------------------------------------------------------------------------------------------------


@mutant("transport")
class TimeoutIsFailed:
    async def _place_order(self, *args: Any, **options: Any) -> tuple[str, float]:
        try:
            return await super()._place_order(*args, **options)
        except NetworkError as error:
            raise OrderRejectedError(str(error)) from error


@mutant("transport")
class ServerErrorIsFailed:
    async def _place_order(self, *args: Any, **options: Any) -> tuple[str, float]:
        try:
            return await super()._place_order(*args, **options)
        except OutcomeUnknownError as error:
            raise OrderRejectedError(str(error)) from error


@mutant("transport")
class BlindResend:
    async def _place_order(self, *args: Any, **options: Any) -> tuple[str, float]:
        try:
            return await super()._place_order(*args, **options)
        except (NetworkError, OutcomeUnknownError):
            return await super()._place_order(*args, **options)


@mutant("transport")
class ResendUnderANewId:
    async def _place_order(self, order_id: str, *args: Any, **options: Any) -> tuple[str, float]:
        try:
            return await super()._place_order(order_id, *args, **options)
        except (NetworkError, OutcomeUnknownError):
            return await super()._place_order(order_id + "1", *args, **options)


@mutant("transport")
class TrackedAfterTheAnswer:
    def _submit_order(self, order: InFlightOrder) -> None:
        self._order_tracker.stop_tracking_order(order.client_order_id)
        super()._submit_order(order)


@mutant("transport")
class OneMissIsFinal:
    submit_dead_after_s = 0.0


@mutant("transport")
class SilenceIsNeverResolved:
    def _order_unknown(self, client_order_id: str, error: Exception) -> None:
        order = self._order_tracker.fetch_tracked_order(client_order_id)
        if order is not None and not order.acked_ns:
            self._order_tracker.mark_unknown(order)


@mutant("transport")
class SilenceOfALookupIsAbsence:
    async def _request_order_status(self, order: InFlightOrder) -> OrderUpdate:
        try:
            return await super()._request_order_status(order)
        except NetworkError as error:
            raise OrderNotFoundError(str(error)) from error


# -- cancels ---------------------------------------------------------------------------------------------------


@mutant("transport")
class UnknownOnCancelIsCancelled:
    async def _place_cancel(self, order_id: str, tracked_order: InFlightOrder) -> Any:
        try:
            return await super()._place_cancel(order_id, tracked_order)
        except OrderNotFoundError:
            return True


@mutant("transport")
class SilenceOnCancelIsCancelled:
    async def _place_cancel(self, order_id: str, tracked_order: InFlightOrder) -> Any:
        try:
            return await super()._place_cancel(order_id, tracked_order)
        except (NetworkError, OutcomeUnknownError):
            return True


@mutant("transport")
class FailedCancelIsForgotten:
    def _cancel_failed(self, client_order_id: str, error: Exception) -> None:
        """Nothing: the order stays as it is shown, pending."""


@mutant("transport")
class UnknownOnCancelIsFailed:
    async def _place_cancel(self, order_id: str, tracked_order: InFlightOrder) -> Any:
        try:
            return await super()._place_cancel(order_id, tracked_order)
        except OrderNotFoundError as error:
            self._order_tracker.mark_failed(tracked_order, error)
            return True


@mutant("transport")
class CancelRaises:
    def cancel(self, trading_pair: str, client_order_id: str) -> bool:
        if not super().cancel(trading_pair, client_order_id):
            raise OrderNotFoundError(client_order_id)
        return True


# -- amends ----------------------------------------------------------------------------------------------------


@mutant("transport")
class FailedAmendIsForgotten:
    def _amend_failed(self, order: InFlightOrder, error: Exception) -> None:
        """Nothing: the order stays as it is shown, pending."""


@mutant("transport")
class AmendsAreOnlyTakenFromTheAnswer:
    def _process_amend(self, update: OrderUpdate) -> None:
        order = self._order_tracker.fetch_order(update.client_order_id)
        if order is not None and order.current_state is OrderState.PENDING_UPDATE:
            super()._process_amend(update)


# -- fills -----------------------------------------------------------------------------------------------------


@mutant("transport")
class NoFillDeduplication:
    fills_seen = 0

    def _on_stream_message(self, message: tuple[TradeUpdate | None, OrderUpdate]) -> None:
        fill, update = message
        if fill is not None:
            type(self).fills_seen += 1
            fill = fill._replace(trade_id=f"{fill.trade_id}-{self.fills_seen}")
        super()._on_stream_message((fill, update))


@mutant("transport")
class FillsByOrderIdOnly:
    def _on_stream_message(self, message: tuple[TradeUpdate | None, OrderUpdate]) -> None:
        fill, update = message
        if fill is not None:
            fill = fill._replace(trade_id=fill.exchange_order_id)
        super()._on_stream_message((fill, update))


@mutant("transport")
class CumulativeTakenForLast:
    def _on_stream_message(self, message: tuple[TradeUpdate | None, OrderUpdate]) -> None:
        fill, update = message
        if fill is not None:
            base = update.misc_updates["cumulative_base"]
            fill = fill._replace(fill_base_amount=base, fill_quote_amount=base * fill.fill_price)
        super()._on_stream_message((fill, update))


@mutant("transport")
class AmountsThroughFloats:
    def _on_stream_message(self, message: tuple[TradeUpdate | None, OrderUpdate]) -> None:
        fill, update = message
        if fill is not None:
            base = Decimal(f"{float(fill.fill_base_amount) * 0.999999999999:.15f}")
            fill = fill._replace(fill_base_amount=base)
        super()._on_stream_message((fill, update))


@mutant("transport")
class FeesDropped:
    async def _all_trade_updates_for_order(self, order: InFlightOrder) -> list[TradeUpdate]:
        return [fill._replace(fee=None) for fill in await super()._all_trade_updates_for_order(order)]


@mutant("transport")
class EndWithoutItsFills:
    def _on_stream_message(self, message: tuple[TradeUpdate | None, OrderUpdate]) -> None:
        fill, update = message
        super()._on_stream_message((fill, update._replace(misc_updates=None)))

    async def _place_cancel(self, order_id: str, tracked_order: InFlightOrder) -> Any:
        return (await super()._place_cancel(order_id, tracked_order))._replace(misc_updates=None)

    async def _request_order_status(self, order: InFlightOrder) -> OrderUpdate:
        return (await super()._request_order_status(order))._replace(misc_updates=None)


# -- states and events -----------------------------------------------------------------------------------------


@mutant("transport")
class ExpiredIsCancelled:
    def _on_stream_message(self, message: tuple[TradeUpdate | None, OrderUpdate]) -> None:
        fill, update = message
        if update.new_state is OrderState.EXPIRED:
            update = update._replace(new_state=OrderState.CANCELED)
        super()._on_stream_message((fill, update))


@mutant("transport")
class NoStateGuard:
    """A late report brings an ended order back, as a tracker without a table of moves does."""

    def _on_stream_message(self, message: tuple[TradeUpdate | None, OrderUpdate]) -> None:
        update = message[1]
        order = self._order_tracker.fetch_order(update.client_order_id)
        if order is not None and order.is_done and order.current_state is not update.new_state:
            self._order_tracker.stop_tracking_order(order.client_order_id)
            self._order_tracker.start_tracking_order(
                InFlightOrder(
                    order.client_order_id, order.trading_pair, order.order_type, order.trade_type, order.amount,
                    order.creation_timestamp, order.price, order.exchange_order_id, OrderState.OPEN,
                )
            )  # fmt: skip
        super()._on_stream_message(message)


@mutant("transport")
class EventsRepeated:
    """The terminal event is published again when the end is reported again."""

    def _on_stream_message(self, message: tuple[TradeUpdate | None, OrderUpdate]) -> None:
        if "ends_told" not in self.__dict__:
            self.ends_told: dict[str, Any] = {}
            for tag in (MarketEvent.BuyOrderCompleted, MarketEvent.SellOrderCompleted, MarketEvent.OrderCancelled,
                        MarketEvent.OrderExpired, MarketEvent.OrderFailure):  # fmt: skip
                self.add_listener(tag, self._keep_end)
        end = self.ends_told.get(message[1].client_order_id)
        super()._on_stream_message(message)
        if end is not None:
            self._pubsub.publish(end)

    def _keep_end(self, event: Any) -> None:
        self.ends_told[event.order_id] = event


# -- the stream ------------------------------------------------------------------------------------------------


@mutant("transport")
class LostStreamGap:
    def _on_stream_lost(self) -> None:
        """The stream counts as live all the time, so nothing is read when it is back."""


@mutant("transport")
class EarlyMessagesDropped:
    """Reports of orders whose submit has not come back are ignored, because their exchange id is not known yet."""

    def _on_stream_message(self, message: tuple[TradeUpdate | None, OrderUpdate]) -> None:
        order = self._order_tracker.fetch_order(message[1].client_order_id)
        if order is not None and order.exchange_order_id is not None:
            super()._on_stream_message(message)


@mutant("transport")
class IdsStartAnewAfterRestart:
    ids_made = 0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # What a counter in memory does: in front of the simulation's own ids.
        cls.generate_client_order_id = lambda self: self._next_id()

    def _next_id(self) -> str:
        self.ids_made += 1
        return str(5_000_000_000_000_000 + self.ids_made)


# -- finding out -------------------------------------------------------------------------------------------------
# The first was a defect of qtxconn itself, found by this simulation.


@mutant("transport")
class FailedCatchUpIsLeftToThePoll:
    def _resolve(self, order: InFlightOrder, cancel_error: Exception | None = None) -> Any:
        if cancel_error is None and order.acked_ns:
            return None
        return super()._resolve(order, cancel_error)


@mutant("transport")
class PositionsAreNotReadAgain:
    async def _read_account_again(self) -> None:
        """What the stream has missed stays missed."""


@mutant("transport")
class RetryAfterIsIgnored:
    async def _request(self, carry_out: Callable[..., Any], *args: Any) -> Any:
        self._resume_at_ns = 0
        return await super()._request(carry_out, *args)


# -- the tracker -------------------------------------------------------------------------------------------------


@tracker_mutant
class TrackerWithoutFillDeduplication(ClientOrderTracker):
    fills = 0

    def process_trade_update(self, update: TradeUpdate) -> None:
        self.fills += 1
        super().process_trade_update(update._replace(trade_id=f"{update.trade_id}-{self.fills}"))


@tracker_mutant
class TrackerFailsWhatIsUnknown(ClientOrderTracker):
    def mark_unknown(self, order: InFlightOrder) -> None:
        self.mark_failed(order, OutcomeUnknownError("no answer"))


@tracker_mutant
class TrackerTakesAbsenceForACancel(ClientOrderTracker):
    def mark_absent(self, order: InFlightOrder, error: BaseException) -> None:
        self.process_order_update(
            OrderUpdate(order.trading_pair, 0.0, OrderState.CANCELED, order.client_order_id, order.exchange_order_id)
        )


@tracker_mutant
class TrackerForgetsWhatHasEnded(ClientOrderTracker):
    def process_order_update(self, update: OrderUpdate) -> None:
        super().process_order_update(update)
        order = self.fetch_order(update.client_order_id)
        if order is not None and order.is_done:
            self.stop_tracking_order(order.client_order_id)


@tracker_mutant
class TrackerIgnoresExecutedAmounts(ClientOrderTracker):
    def process_order_update(self, update: OrderUpdate) -> None:
        super().process_order_update(update._replace(misc_updates=None))


@tracker_mutant
class TrackerShowsACancelBeforeItIsConfirmed(ClientOrderTracker):
    def mark_pending_cancel(self, order: InFlightOrder) -> None:
        super().mark_pending_cancel(order)
        self.process_order_update(
            OrderUpdate(order.trading_pair, 0.0, OrderState.CANCELED, order.client_order_id, order.exchange_order_id)
        )


@tracker_mutant
class TrackerRemembersNoVenueIds(ClientOrderTracker):
    def process_order_update(self, update: OrderUpdate) -> None:
        super().process_order_update(update._replace(exchange_order_id=None))


# -- the journal -------------------------------------------------------------------------------------------------


@journal_mutant
class JournalIsNotReplayed(OrderJournal):
    def restore(self, connector: Any) -> list[InFlightOrder]:
        super().restore(connector)
        for order_id in list(connector._order_tracker.all_orders):
            connector._order_tracker.stop_tracking_order(order_id)
        return []


@journal_mutant
class JournalIsWrittenAfterTheAnswer(OrderJournal):
    def entries(self) -> list[dict[str, Any]]:
        entries = super().entries()
        answered = {entry["client_id"] for entry in entries if entry["kind"] in ("ack", "reject", "end")}
        return [entry for entry in entries if entry["client_id"] in answered]


@journal_mutant
class JournalKeepsNoFills(OrderJournal):
    def entries(self) -> list[dict[str, Any]]:
        return [entry for entry in super().entries() if entry["kind"] != "fill"]


@journal_mutant
class JournalKeepsOneFeeOfAFill(OrderJournal):
    def entries(self) -> list[dict[str, Any]]:
        return [entry for entry in super().entries() if entry["kind"] != "fee"]


@journal_mutant
class JournalKeepsNoEnds(OrderJournal):
    def entries(self) -> list[dict[str, Any]]:
        return [entry for entry in super().entries() if entry["kind"] not in ("end", "reject")]


@journal_mutant
class JournalKeepsNoAnswers(OrderJournal):
    def entries(self) -> list[dict[str, Any]]:
        return [entry for entry in super().entries() if entry["kind"] != "ack"]


# -- Binance, over HTTP ------------------------------------------------------------------------------------------


@mutant("http")
class OrdersAreRetriedLikeReads:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        request = self._rest.request
        self._rest.request = lambda *a, **kw: request(*a, **kw | {"is_read": True})


@mutant("http")
class NothingReadAfterReconnect:
    async def _recover(self) -> None:
        """Nothing is read."""

    def _set_connected(self, live: bool) -> None:
        super()._set_connected(True)


@mutant("http")
class ServerErrorsAreRefusals:
    async def _place_order(self, *args: Any, **options: Any) -> tuple[str, float]:
        try:
            return await super()._place_order(*args, **options)
        except OutcomeUnknownError as error:
            raise OrderRejectedError(str(error)) from error


@mutant("http")
class SilenceOfTheOrderStreamIsARefusal:
    async def _request_order(self, *args: Any) -> Any:
        over_stream = self._order_stream is not None and self._order_stream.is_live
        try:
            return await super()._request_order(*args)
        except (NetworkError, OutcomeUnknownError) as error:
            if not over_stream:
                raise
            raise OrderRejectedError(str(error)) from error


@mutant("http")
class UnknownOrderMeansCancelled:
    async def _place_cancel(self, order_id: str, tracked_order: InFlightOrder) -> Any:
        try:
            return await super()._place_cancel(order_id, tracked_order)
        except OrderNotFoundError:
            return True


@mutant("http")
class RequestWindowIgnored:
    submit_dead_after_s = 0.0


@mutant("http")
class FillsTakenFromTheReportTwice:
    def _on_order_trade_update(self, event: dict[str, Any]) -> None:
        super()._on_order_trade_update(event)
        if event["o"]["x"] == "TRADE":
            super()._on_order_trade_update(event | {"o": event["o"] | {"t": event["o"]["t"] + 10**9}})


@mutant("http")
class RetryAfterIsNotObeyed:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._throttler.pause_until = lambda monotonic_ns: None


@mutant("http")
class ExpiredListenKeyIsKept:
    def _on_user_message(self, data: str | bytes, received_ns: int, monotonic_ns: int) -> None:
        if b"listenKeyExpired" not in (data if isinstance(data, bytes) else data.encode()):
            super()._on_user_message(data, received_ns, monotonic_ns)


@mutant("http")
class PositionsAreNotReadOnReconnect:
    async def _recover(self) -> None:
        update, self._update_positions = self._update_positions, self._leave_positions
        try:
            await super()._recover()
        finally:
            self._update_positions = update

    async def _leave_positions(self) -> None:
        """They stay as they were."""


@mutant("http")
class BookGapIsIgnored:
    """After a break of the stream the book goes on with the next diff, as if there had been none before it."""

    async def _start_order_books(self) -> None:
        await super()._start_order_books()
        for feed in self._market.feeds.values():
            feed.stop = lambda: None

    def _on_market_event(self, event: dict[str, Any], received_ns: int) -> None:
        if event["e"] == "depthUpdate":
            book = self._order_books[self._pair_of(event["s"])]
            event = event | {"pu": book.last_update_id if book.valid else event["pu"]}
        super()._on_market_event(event, received_ns)


@mutant("http")
class CancelsAreRepeatedByTheTransport:
    """aiohttp's own way, and a defect of qtxconn itself: what it resends does not wait for Retry-After."""

    async def _start_network(self) -> None:
        await super()._start_network()
        self._rest._session._retry_connection = True


# -- what time makes due ---------------------------------------------------------------------------------------


@mutant("transport")
class FundingIsLookedUpOnce:
    async def _book_funding_payments(self) -> None:
        try:
            await self._update_funding_payments()
        except QtxconnError:
            """Whoever announced it said it once."""


@mutant("transport")
class FundingIsToldAgain:
    async def _request_funding_payments(self, since_s: float) -> list[FundingPayment]:
        payments = await super()._request_funding_payments(since_s)
        self.looks = getattr(self, "looks", 0) + 1
        return [payment._replace(payment_id=f"{payment.payment_id}-{self.looks}") for payment in payments]


@mutant("http")
class FundingOfTheStreamIsIgnored:
    def _on_account_update(self, event: dict[str, Any]) -> None:
        if event["a"]["m"] != "FUNDING_FEE":
            super()._on_account_update(event)
