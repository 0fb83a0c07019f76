"""The tracker: every order from before it is sent, found by either id, moved by updates, with events in order."""

import logging
from collections import OrderedDict

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libcpp.memory cimport make_unique
from libcpp.string_view cimport string_view

from qtxconn.core.clock cimport Clock
from qtxconn.core.fixed cimport Fixed, fixed_from
from qtxconn.core.in_flight_order cimport (
    InFlightOrder,
    fill_to_trade_update,
    ns_to_seconds,
    seconds_to_ns,
    state_from_python,
)
from qtxconn.core.order_store cimport (
    Applied,
    Fill,
    OrderEvent,
    OrderEventKind,
    OrderState,
    OrderStore,
    kNoSlot,
)

from qtxconn.core.clock import SYSTEM_CLOCK
from qtxconn.core.events import (
    BuyOrderCompletedEvent,
    BuyOrderCreatedEvent,
    ErrorEvent,
    MarketOrderFailureEvent,
    OrderCancelledEvent,
    OrderExpiredEvent,
    OrderFilledEvent,
    SellOrderCompletedEvent,
    SellOrderCreatedEvent,
)
from qtxconn.core.types import TradeType as PyTradeType
from qtxconn.errors import AmountError, OrderValidationError

cdef uint64_t FIRST_FOREIGN_ID = 1ULL << 63     # above every id that OrderIdSource makes

_APPLIED_NAMES = {
    <int>Applied.changed: "changed",
    <int>Applied.unchanged: "unchanged",
    <int>Applied.stale: "stale",
    <int>Applied.terminal: "terminal",
    <int>Applied.illegal: "illegal",
    <int>Applied.duplicate_fill: "duplicate_fill",
    <int>Applied.overfill: "overfill",
    <int>Applied.bad_amount: "bad_amount",
    <int>Applied.unknown_order: "unknown_order",
}


cdef class ClientOrderTracker:
    """Tracks orders. `pubsub` receives the events; `finished_orders_max` ended orders are remembered, so that late
    fills and repeats still find them. Unlike Hummingbot's, `process_order_update` acts at once, not in a task.
    """

    def __init__(
        self,
        pubsub,
        Clock clock=SYSTEM_CLOCK,
        *,
        str client_order_id_prefix="",
        int finished_orders_max=10_000,
    ):
        self._store = make_unique[OrderStore]()
        self._pubsub = pubsub
        self._logger = logging.getLogger("qtxconn.tracker")
        self.clock = clock
        self.client_order_id_prefix = client_order_id_prefix
        self.finished_orders_max = finished_orders_max
        self._active = {}
        self._finished = OrderedDict()
        self._by_slot = {}
        self._foreign_ids = {}
        self._failures = {}
        self._next_foreign_id = FIRST_FOREIGN_ID

    cdef OrderStore* c_store(self) noexcept:
        return self._store.get()

    # -- looking up ------------------------------------------------------------------------------------------

    @property
    def active_orders(self) -> dict:
        """{client order id: order} of all orders that have not ended."""
        return dict(self._active)

    @property
    def cached_orders(self) -> dict:
        """The same for ended orders that are still remembered, oldest first."""
        return dict(self._finished)

    @property
    def all_orders(self) -> dict:
        return {**self._finished, **self._active}

    @property
    def all_fillable_orders(self) -> dict:
        """Orders that a fill can still be booked on: all that are known, ended or not."""
        return self.all_orders

    @property
    def all_updatable_orders(self) -> dict:
        """Orders whose state can still change: those that have not ended."""
        return self.active_orders

    def fetch_tracked_order(self, str client_order_id not None):
        return self._active.get(client_order_id)

    def fetch_cached_order(self, str client_order_id not None):
        return self._finished.get(client_order_id)

    def fetch_order(self, str client_order_id=None, str exchange_order_id=None):
        """The order with this client or exchange order id, ended or not, or None."""
        cdef uint32_t slot = self.c_find(client_order_id, exchange_order_id)
        return None if slot == kNoSlot else self._by_slot[slot]

    get_fillable_order = fetch_order

    @property
    def update_counts(self) -> dict:
        """How many updates were applied, and how many ignored, by reason."""
        cdef OrderStore* store = self.c_store()
        return {name: store.applied_count(<Applied><unsigned char>code) for code, name in _APPLIED_NAMES.items()}

    cdef uint64_t c_client_id(self, str client_order_id) except? 0:
        """Number of a client id; 0 for a text that is neither ours nor tracked."""
        cdef str digits = client_order_id[len(self.client_order_id_prefix):]
        if client_order_id.startswith(self.client_order_id_prefix) and digits.isdecimal() and len(digits) <= 19:
            number = int(digits)
            if 0 < number < FIRST_FOREIGN_ID and str(number) == digits:
                return number
        return self._foreign_ids.get(client_order_id, 0)

    cdef uint32_t c_find(self, str client_order_id, str exchange_order_id, str trading_pair=None) except? 0:
        cdef uint32_t slot = kNoSlot
        cdef uint32_t symbol = kNoSlot
        cdef uint64_t number
        cdef bytes text
        if client_order_id:
            number = self.c_client_id(client_order_id)
            if number != 0:
                slot = self.c_store().find(number)
        if slot == kNoSlot and exchange_order_id:
            if trading_pair is not None:
                text = trading_pair.encode()
                symbol = self.c_store().intern_symbol(string_view(<const char*>text, <size_t>len(text)))
            text = exchange_order_id.encode()
            slot = self.c_store().find_exchange_id(string_view(<const char*>text, <size_t>len(text)), symbol)
        return slot

    # -- tracking --------------------------------------------------------------------------------------------

    def start_tracking_order(self, InFlightOrder order not None):
        """Takes the order in; from here on it is a view on the tracker's record. Raises OrderValidationError if it, or
        its client order id, is tracked already."""
        if order._store != NULL:
            raise OrderValidationError(f"{order.client_order_id} is tracked already; an order has one tracker")
        cdef uint64_t number = self.c_client_id(order.client_order_id)
        if number == 0:
            number = self._next_foreign_id
        cdef bytes pair = order.trading_pair.encode()
        cdef OrderStore* store = self.c_store()
        order._own.client_id = number
        order._own.symbol = store.intern_symbol(string_view(<const char*>pair, <size_t>len(pair)))
        cdef uint32_t slot = store.start_tracking(order._own)
        if slot == kNoSlot:
            raise OrderValidationError(f"client order id {order.client_order_id} is already tracked; ids are used once")
        if number == self._next_foreign_id:
            self._foreign_ids[order.client_order_id] = number
            self._next_foreign_id += 1
        order.c_attach(self, store, slot)
        self._by_slot[slot] = order
        self._restore_fills(order)
        if order.is_done:
            self._finished[order.client_order_id] = order
            self._forget_oldest()
        else:
            self._active[order.client_order_id] = order

    cdef void _restore_fills(self, InFlightOrder order):
        # An order that was tracked before brings its fills along: they are neither lost nor counted twice.
        fills, order._own_fills = order._own_fills, {}
        for update in fills.values():
            self._restore_fill(order, update)

    cdef int _restore_fill(self, InFlightOrder order, object update) except -1:
        cdef Fill fill
        self._parse_fill(update, &fill)
        self._parse_fee(update, &fill)
        self.c_store().restore_fill(order._slot, fill)
        return 0

    def stop_tracking_order(self, str client_order_id not None):
        """Forgets an order; no-op if it is not known. An order that has ended is forgotten by itself in time."""
        order = self._active.pop(client_order_id, None) or self._finished.pop(client_order_id, None)
        if order is not None:
            self._release(order)

    def withdraw_order(self, InFlightOrder order not None, error):
        """Forgets an order that was refused before anything left, as if it had never been; no event."""
        if self.journal is not None and order._store != NULL:
            self.journal.c_write_refusal(order.client_id, type(error).__name__, self.clock.c_now_ns())
        self.stop_tracking_order(order.client_order_id)

    cdef void _release(self, InFlightOrder order):
        cdef uint32_t slot = order._slot
        order.c_detach()
        del self._by_slot[slot]
        self._foreign_ids.pop(order.client_order_id, None)
        self._failures.pop(order.client_order_id, None)
        self.c_store().release(slot)

    # -- updates ---------------------------------------------------------------------------------------------

    def process_order_update(self, update) -> None:
        """Applies an OrderUpdate and delivers the events it causes before it returns. What cannot be applied (unknown
        order, older than what is known, after the end, no legal move) is counted in `update_counts`."""
        cdef uint32_t slot = self._slot_of(update)
        if slot == kNoSlot:
            return
        cdef InFlightOrder order = self._by_slot[slot]
        if update.exchange_order_id:
            self._learn_exchange_id(order, update.exchange_order_id)
        misc = update.misc_updates or {}
        cdef OrderState state = state_from_python(update.new_state)
        cdef Fixed executed
        try:
            executed = fixed_from(misc.get("cumulative_base", 0))
        except AmountError as error:
            self.c_store().count(Applied.bad_amount)
            self._alarm("bad_amount", order, f"{order.client_order_id}: executed amount ignored: {error}")
        if state == OrderState.failed and order.is_open:
            self._failures[order.client_order_id] = (misc.get("error_message"), misc.get("error_type"))
        cdef int64_t venue_ns = seconds_to_ns(update.update_timestamp)
        cdef Applied applied = self.c_store().process_state(slot, state, venue_ns, executed, self.clock.c_now_ns())
        if applied == Applied.terminal and order.is_failure and state != OrderState.failed:
            self._alarm("life_after_end", order, f"{order.client_order_id} has failed here, and the venue shows it as "
                        f"{update.new_state.name} under exchange order id {order.exchange_order_id}: look after it")
        if applied == Applied.illegal:
            self._logger.warning("%s: %s cannot become %s; ignored", order.client_order_id,
                                 order.current_state.name, update.new_state.name)
        self.c_deliver()
        order.c_wake()

    def process_trade_update(self, update) -> None:
        """Books a TradeUpdate once (by trade id) and delivers the events it causes before it returns."""
        cdef uint32_t slot = self._slot_of(update)
        if slot == kNoSlot:
            return
        cdef InFlightOrder order = self._by_slot[slot]
        cdef Fill fill
        try:
            self._parse_fill(update, &fill)
        except AmountError as error:
            self.c_store().count(Applied.bad_amount)
            self._alarm("bad_amount", order, f"fill {update.trade_id} of {order.client_order_id} refused: {error}")
            return
        fee_problem = self._parse_fee(update, &fill)
        if update.exchange_order_id:
            self._learn_exchange_id(order, update.exchange_order_id)
        cdef Applied applied = self.c_store().process_fill(slot, fill, self.clock.c_now_ns())
        if applied == Applied.changed and fee_problem is not None:
            self._alarm("fee", order, f"fill {update.trade_id} of {order.client_order_id}: {fee_problem}")
        if applied == Applied.bad_amount:
            self._alarm("bad_amount", order, f"fill {update.trade_id} of {order.client_order_id} refused: "
                        f"{update.fill_base_amount} at {update.fill_price} is no possible execution")
        self.c_deliver()
        order.c_wake()

    cdef uint32_t _slot_of(self, update) except? 0:
        cdef uint32_t slot = self.c_find(update.client_order_id, update.exchange_order_id, update.trading_pair)
        if slot != kNoSlot and update.trading_pair != self._by_slot[slot].trading_pair:
            self._logger.warning("update for %s names %s, the order is on %s; ignored", update.client_order_id
                                 or update.exchange_order_id, update.trading_pair, self._by_slot[slot].trading_pair)
            slot = kNoSlot
        if slot == kNoSlot:
            self.c_store().count(Applied.unknown_order)
            self._logger.debug("no order is tracked under %s / %s", update.client_order_id, update.exchange_order_id)
        return slot

    cdef void _learn_exchange_id(self, InFlightOrder order, str exchange_order_id):
        cdef bytes text = exchange_order_id.encode()
        if not self.c_store().set_exchange_id(order._slot, string_view(<const char*>text, <size_t>len(text))):
            self._logger.warning("%s: exchange order id of %d bytes is too long, ignored",
                                 order.client_order_id, len(text))

    cdef int _parse_fill(self, update, Fill* fill) except -1:
        cdef bytes trade_id = update.trade_id.encode()
        if not trade_id:
            raise AmountError("it has no trade id, so a repeat could not be told from a new fill")
        if not fill.trade_id.assign(string_view(<const char*>trade_id, <size_t>len(trade_id))):
            raise AmountError(f"trade id of {len(trade_id)} bytes is too long (47 at most)")
        fill.price = fixed_from(update.fill_price)
        fill.amount = fixed_from(update.fill_base_amount)
        fill.quote = fixed_from(update.fill_quote_amount)
        fill.venue_ns = seconds_to_ns(update.fill_timestamp)
        fill.received_ns = self.clock.c_now_ns()
        fill.is_taker = update.is_taker
        return 0

    cdef str _parse_fee(self, object update, Fill* fill):
        # What cannot be kept of a fee is said, and never costs the fill itself: the position comes first.
        cdef bytes asset
        cdef Fixed nothing
        if update.fee is None:
            return None
        fees = update.fee.flat_fees
        if fees:
            asset = fees[0].token.encode()
            try:
                fill.fee = fixed_from(fees[0].amount)
            except AmountError as error:
                return f"fee not kept: {error}"
            if not fill.fee_asset.assign(string_view(<const char*>asset, <size_t>len(asset))):
                fill.fee = nothing
                return f"fee not kept: asset {fees[0].token!r} is longer than 15 bytes"
        if len(fees) > 1 or update.fee.percent:
            return f"only the first flat fee is kept of {update.fee!r}"
        return None

    cdef void c_mark(self, InFlightOrder order, OrderState state):
        """A state that we know by ourselves: submitting, cancelling, no answer."""
        cdef Fixed nothing
        cdef int64_t now_ns = self.clock.c_now_ns()
        if order._store != NULL:
            if self.journal is not None and state == OrderState.pending_submit:
                self.journal.c_submitted(order.c_record().client_id, now_ns)
            elif self.journal is not None and state == OrderState.unknown:
                self.journal.c_unknown(order.c_record().client_id, now_ns)
            self.c_store().process_state(order._slot, state, 0, nothing, now_ns)
            self.c_deliver()
            order.c_wake()

    def mark_submitted(self, InFlightOrder order not None):
        self.c_mark(order, OrderState.pending_submit)

    def mark_pending_cancel(self, InFlightOrder order not None):
        self.c_mark(order, OrderState.pending_cancel)

    def mark_unknown(self, InFlightOrder order not None):
        self.c_mark(order, OrderState.unknown)

    def mark_failed(self, InFlightOrder order not None, error):
        """Ends an order that was refused: by us before anything left, or by the venue's word."""
        if order.is_tracked and order.is_open:
            self._failures[order.client_order_id] = (str(error), type(error).__name__)
            self.c_mark(order, OrderState.failed)

    def revert_pending(self, InFlightOrder order not None):
        """The venue refused a cancel or amend: the order lives on as before."""
        if order._store != NULL:
            self.c_store().process_revert(order._slot)
            order.c_wake()

    # -- events ----------------------------------------------------------------------------------------------

    cdef void c_deliver(self):
        # A listener may act on the connector and so queue more events: they follow, in order, from this same loop.
        if self._delivering:
            return
        self._delivering = True
        cdef OrderEvent event
        try:
            while self.c_store().next_event(event):
                self._deliver_one(event)
        finally:
            self._delivering = False
        self._forget_oldest()

    cdef void _deliver_one(self, OrderEvent event):
        cdef InFlightOrder order = self._by_slot.get(event.slot)
        if order is None or order.c_record().generation != event.generation:
            return
        if event.kind == OrderEventKind.overfill:
            self._alarm("overfill", order, f"{order.client_order_id}: the venue reports more executed than ordered "
                        f"({order.executed_amount_base} of {order.amount} booked); the fill was refused")
            return
        if self.journal is not None:
            self.journal.c_write_event(self.c_store(), event, self._failures.get(order.client_order_id))
        payload = self._payload(order, event)
        if event.kind == OrderEventKind.late_fill:
            self._alarm("late_fill", order, f"{order.client_order_id} had ended as {order.current_state.name} when "
                        f"fill {payload.exchange_trade_id} of {payload.amount} came in; it is booked")
        elif event.kind != OrderEventKind.created and event.kind != OrderEventKind.filled:
            self._finish(order)     # before the listeners hear of it: to them an ended order is not in flight
        self._pubsub.publish(payload)

    cdef object _payload(self, InFlightOrder order, OrderEvent event):
        cdef double timestamp = ns_to_seconds(event.time_ns)
        buy = order.trade_type is PyTradeType.BUY
        if event.kind == OrderEventKind.created:
            return (BuyOrderCreatedEvent if buy else SellOrderCreatedEvent)(
                timestamp, order.order_type, order.trading_pair, order.amount, order.price, order.client_order_id,
                order.creation_timestamp, order.exchange_order_id, order.leverage, order.position.value,
            )
        if event.kind == OrderEventKind.filled or event.kind == OrderEventKind.late_fill:
            fill = fill_to_trade_update(order.client_order_id, order.exchange_order_id, order.trading_pair,
                                        self.c_store().fill(event.fill))
            return OrderFilledEvent(
                timestamp, order.client_order_id, order.trading_pair, order.trade_type, order.order_type,
                fill.fill_price, fill.fill_base_amount, fill.fee, fill.trade_id, fill.exchange_order_id,
                order.leverage, order.position.value,
            )
        if event.kind == OrderEventKind.completed:
            return (BuyOrderCompletedEvent if buy else SellOrderCompletedEvent)(
                timestamp, order.client_order_id, order.base_asset, order.quote_asset, order.executed_amount_base,
                order.executed_amount_quote, order.order_type, order.exchange_order_id,
            )
        if event.kind == OrderEventKind.cancelled:
            return OrderCancelledEvent(timestamp, order.client_order_id, order.exchange_order_id)
        if event.kind == OrderEventKind.expired:
            return OrderExpiredEvent(timestamp, order.client_order_id, order.exchange_order_id)
        message, error_type = self._failures.pop(order.client_order_id, (None, None))
        return MarketOrderFailureEvent(timestamp, order.client_order_id, order.order_type, message, error_type)

    cdef void _finish(self, InFlightOrder order):
        if self._active.get(order.client_order_id) is order:
            del self._active[order.client_order_id]
            self._finished[order.client_order_id] = order

    cdef void _forget_oldest(self):
        # Not in the middle of a delivery: events of these orders may still be queued.
        if not self._delivering:
            while len(self._finished) > self.finished_orders_max:
                self._release(self._finished.popitem(last=False)[1])

    cdef void _alarm(self, str kind, InFlightOrder order, str message):
        cdef double timestamp = ns_to_seconds(self.clock.c_now_ns())
        self._pubsub.publish_error(ErrorEvent(timestamp, kind, message, order.client_order_id))
