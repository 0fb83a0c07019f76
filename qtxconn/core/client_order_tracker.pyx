"""The tracker: every order from before it is sent, found by either id, moved by updates, with events in order."""

import logging
from collections import deque

from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from libc.stdint cimport UINT16_MAX, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libcpp.memory cimport make_unique
from libcpp.string_view cimport string_view
from libcpp.vector cimport vector

from qtxconn.core.clock cimport Clock
from qtxconn.core.fixed cimport Fixed, compare, fixed_from, fixed_to_decimal, fixed_to_text, subtract
from qtxconn.core.in_flight_order cimport (
    InFlightOrder,
    fill_to_trade_update,
    ns_to_seconds,
    seconds_to_ns,
    state_from_python,
    venue_id_text,
    view_of,
)
from qtxconn.core.order_event_payloads cimport order_event_class, order_event_payload
from qtxconn.core.order_event_sink cimport OrderEventSink
from qtxconn.core.order_fills cimport fields_of, parse_fee, parse_fees, parse_fill, provisional_trade_id
from qtxconn.core.order_store cimport (
    Applied,
    Fee,
    Fill,
    OrderEvent,
    OrderEventKind,
    OrderRecord,
    OrderState,
    OrderStore,
    TransitionReason,
    VenueId,
    VenueIdOutcome,
    is_terminal,
    kNoAsset,
    kNoFill,
    kNoSlot,
    kNoVenueId,
)
from qtxconn.core.pubsub cimport PubSub

from decimal import Context, Decimal

from qtxconn.core.clock import SYSTEM_CLOCK
from qtxconn.core.events import ErrorEvent, OrphanFillEvent, OrphanOrderEvent
from qtxconn.core.parked_updates import ParkedUpdates
from qtxconn.core.types import AddedToCostTradeFee, MarketEvent, PositionAction, TradeUpdate
from qtxconn.errors import AmountError, OrderValidationError

cdef uint64_t FIRST_FOREIGN_ID = 1ULL << 63     # above every id that OrderIdSource makes


cdef uint64_t parse_client_id(string_view digits) noexcept:
    """The number of a client id that OrderIdSource could have made; 0 for any other text."""
    cdef uint64_t number = 0
    cdef size_t i
    if not 1 <= digits.size() <= 19 or digits[0] == b"0":
        return 0
    for i in range(digits.size()):
        if not b"0" <= digits[i] <= b"9":
            return 0
        number = number * 10 + <uint64_t>(digits[i] - 48)
    return number if number < FIRST_FOREIGN_ID else 0


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
    <int>Applied.foreign: "foreign",
    <int>Applied.superseded: "superseded",
}
cdef object _Decimal = Decimal      # a C global: looked up without a dictionary
_QUOTE = Context(prec=18)       # all that can be kept
_AVERAGE = Context(prec=15)     # a provisional fill's price is a quotient, and only an estimate


cdef class ClientOrderTracker:
    """Tracks orders. `pubsub` receives the events. Unlike Hummingbot's, `process_order_update` acts at once.

    `finished_orders_max` ended orders are remembered, for up to `finished_orders_ttl_s` seconds, so that late fills and
    repeats still find them. An update of an order that is not known waits up to `parking_time_s` seconds, with
    `parked_updates_max` others, for the order to become known; then a fill is told as OrphanFillEvent and a live order
    as OrphanOrderEvent. Without `itemised_fills`, for a venue that reports executed amounts but no executions,
    provisional fills are made from the amounts.
    """

    def __init__(
        self,
        PubSub pubsub,
        Clock clock=SYSTEM_CLOCK,
        *,
        str client_order_id_prefix="",
        int finished_orders_max=10_000,
        double finished_orders_ttl_s=86_400.0,
        int parked_updates_max=1_000,
        double parking_time_s=5.0,
        bint itemised_fills=True,
    ):
        self._store = make_unique[OrderStore]()
        self._pubsub = pubsub
        self._sinks = []
        self._assets = []
        self._logger = logging.getLogger("qtxconn.tracker")
        self.clock = clock
        self.client_order_id_prefix = client_order_id_prefix
        self.finished_orders_max = finished_orders_max
        self.finished_orders_ttl_s = finished_orders_ttl_s
        self.itemised_fills = itemised_fills
        self._parked = ParkedUpdates(parked_updates_max, int(parking_time_s * 1e9))
        self._active = {}
        self._finished = {}
        self._ended = deque()
        self._by_slot = []
        self._foreign_ids = {}
        self._failures = {}
        self._next_foreign_id = FIRST_FOREIGN_ID
        self._told_number = kNoFill

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
        """The order with this client or exchange order id (any that it ever had), ended or not, or None."""
        return self.c_find(client_order_id, exchange_order_id)

    get_fillable_order = fetch_order

    @property
    def update_counts(self) -> dict:
        """How many updates were applied, and how many ignored, by reason."""
        cdef OrderStore* store = self.c_store()
        counts = {name: store.applied_count(<Applied><uint8_t>code) for code, name in _APPLIED_NAMES.items()}
        return counts | {"parked": len(self._parked), "orphan": self.orphan_count, "adopted": self.adopted_count}

    cdef uint64_t c_client_id(self, str client_order_id) except? 0:
        """Number of a client id; 0 for a text that is neither ours nor tracked."""
        cdef string_view prefix = view_of(self.client_order_id_prefix)
        cdef string_view text = view_of(client_order_id)
        cdef uint64_t number
        if text.substr(0, prefix.size()) == prefix:
            number = parse_client_id(text.substr(prefix.size()))
            if number != 0:
                return number
        return self._foreign_ids.get(client_order_id, 0)

    cdef uint32_t c_symbol(self, str trading_pair) except? 0:
        return self.c_store().intern_symbol(view_of(trading_pair))

    cdef InFlightOrder c_find(self, str client_order_id, str exchange_order_id, str trading_pair=None):
        """By client id, else by venue id; `trading_pair` because some venues number the orders of each pair apart."""
        cdef InFlightOrder order = None
        cdef PyObject* found
        cdef uint32_t slot
        if client_order_id:
            found = PyDict_GetItemWithError(self._active, client_order_id)
            if found is NULL:
                found = PyDict_GetItemWithError(self._finished, client_order_id)
            if found is not NULL:
                order = <InFlightOrder>found
        if order is None and exchange_order_id:
            slot = self.c_store().find_exchange_id(
                view_of(exchange_order_id), kNoSlot if trading_pair is None else self.c_symbol(trading_pair)
            )
            if slot != kNoSlot:
                order = self._by_slot[slot]
        return order

    # -- tracking --------------------------------------------------------------------------------------------

    def start_tracking_order(self, InFlightOrder order not None):
        """Takes the order in; from here on it is a view on the tracker's record. Raises OrderValidationError if it, or
        its client order id, is tracked already."""
        if order._store != NULL:
            raise OrderValidationError(f"{order.client_order_id} is tracked already; an order has one tracker")
        cdef uint64_t number = self.c_client_id(order.client_order_id)
        if number == 0:
            number = self._next_foreign_id
        cdef OrderStore* store = self.c_store()
        order._own.client_id = number
        order._own.symbol = self.c_symbol(order.trading_pair)
        if order._exchange_order_id is not None:
            order._own.exchange_id = store.ids().intern(view_of(order._exchange_order_id))
        cdef uint32_t slot = store.start_tracking(order._own)
        if slot == kNoSlot:
            raise OrderValidationError(f"client order id {order.client_order_id} is already tracked; ids are used once")
        if number == self._next_foreign_id:
            self._foreign_ids[order.client_order_id] = number
            self._next_foreign_id += 1
        order.c_attach(self, store, slot)
        while slot >= <uint32_t>len(self._by_slot):
            self._by_slot.append(None)
        self._by_slot[slot] = order
        self._restore_fills(order)
        if is_terminal(order.c_record().state):
            self._finished[order.client_order_id] = order
            self._ended.append(order)
            self._forget_oldest()
        else:
            self._active[order.client_order_id] = order
        self._replay_parked(order)

    cdef void _restore_fills(self, InFlightOrder order):
        # An order that was tracked before brings its fills along: they are neither lost nor counted twice.
        cdef size_t i
        cdef Fill fill
        cdef Fee fee
        for i in range(order._kept_fills.size()):
            fill = order._kept_fills[i]
            fee = fill.fee()
            if fee.asset != kNoAsset:   # its number was another store's, perhaps
                name = order._assets[fee.asset - 1]
                fill.set_fee(parse_fee(self.c_store(), self._assets, name, fixed_to_decimal(fee.amount)))
            self.c_store().restore_fill(order._slot, fill, NULL, 0)
        order._kept_fills.clear()
        if order._own_fills is not None:
            for update in order._own_fills.values():
                self._restore_fill(order, update)
            order._own_fills = None

    cdef int _restore_fill(self, InFlightOrder order, object update) except -1:
        cdef Fill fill
        cdef vector[Fee] more_fees
        parse_fill(self.c_store(), fields_of(update, 10), &fill)
        parse_fees(self.c_store(), self._assets, update.fee, &fill, more_fees)
        self.c_store().restore_fill(order._slot, fill, more_fees.data(), more_fees.size())
        return 0

    def stop_tracking_order(self, str client_order_id not None):
        """Forgets an order; no-op if it is not known. An order that has ended is forgotten by itself in time."""
        order = self._active.pop(client_order_id, None)
        if order is None and client_order_id in self._finished:
            order = self._finished.pop(client_order_id)
            self._ended.remove(order)
        if order is not None:
            self._release(order)

    def withdraw_order(self, InFlightOrder order not None, error):
        """Forgets an order that was refused before anything left, as if it had never been; no event."""
        if self.journal is not None and order._store != NULL:
            self.journal.c_write_refusal(order.client_id, type(error).__name__, self.clock.c_now_ns())
        self.stop_tracking_order(order.client_order_id)

    cdef void _release(self, InFlightOrder order):
        cdef uint32_t slot = order._slot
        order.c_detach(self._assets)
        self._by_slot[slot] = None
        self._foreign_ids.pop(order.client_order_id, None)
        self._failures.pop(order.client_order_id, None)
        self.c_store().release(slot)

    def adopt_external_order(
        self,
        str trading_pair not None,
        str exchange_order_id not None,
        trade_type,
        amount,
        order_type,
        price=None,
        str client_order_id=None,
        position=PositionAction.NIL,
        uint16_t leverage=1,
    ) -> InFlightOrder:
        """Takes in a live order that was not placed here, so that it is listed, filled and cancelled like others.

        It is tracked under the venue's client order id where it has one, else under `external-<pair>-<venue id>`, and
        its Created event follows at once. `amount` in base asset is the whole order's; executions that the venue counts
        already come from asking it. Raises OrderValidationError if it is tracked already.
        """
        if self.c_find(client_order_id, exchange_order_id, trading_pair) is not None:
            raise OrderValidationError(f"{client_order_id or exchange_order_id} on {trading_pair} is tracked already")
        return self._adopt(InFlightOrder(
            client_order_id or f"external-{trading_pair}-{exchange_order_id}", trading_pair, order_type, trade_type,
            amount, ns_to_seconds(self.clock.c_now_ns()), price, exchange_order_id, leverage=leverage,
            position=position,
        ))

    def _adopt(self, InFlightOrder order):
        cdef Fixed nothing
        order._own.is_external = True
        self.start_tracking_order(order)
        self.adopted_count += 1
        self.c_store().process_state(
            order._slot, OrderState.open, 0, nothing, self.clock.c_now_ns(), TransitionReason.report
        )
        self.c_deliver()
        return order

    # -- updates ---------------------------------------------------------------------------------------------

    def process_order_update(self, update) -> None:
        """Applies an OrderUpdate and delivers the events it causes before it returns. What cannot be applied (older
        than what is known, after the end, no legal move, ...) is counted in `update_counts`; one of an order that is
        not known waits for it."""
        cdef tuple fields = fields_of(update, 6)
        cdef str trading_pair = fields[0], client_order_id = fields[3], exchange_order_id = fields[4]
        cdef object new_state = fields[2]
        cdef dict misc = fields[5]
        cdef InFlightOrder order = self._order_of(update, client_order_id, exchange_order_id, trading_pair)
        if order is None:
            return
        cdef OrderState state = state_from_python(new_state)
        cdef int64_t venue_ns = seconds_to_ns(fields[1])
        cdef Fixed executed
        if misc:
            try:
                executed = fixed_from(misc.get("cumulative_base", 0))
            except AmountError as error:
                self.c_store().count(Applied.bad_amount)
                self._alarm("bad_amount", order, f"{order.client_order_id}: executed amount ignored: {error}")
        if state != OrderState.failed and (
            not is_terminal(state) or state == OrderState.filled
            or compare(executed, order.c_record().executed_base()) > 0
        ):
            order = self._survivor(order, exchange_order_id, new_state)
        cdef VenueIdOutcome venue_id = self._take_exchange_id(order, exchange_order_id)
        if venue_id == VenueIdOutcome.taken:
            return
        if venue_id == VenueIdOutcome.past:
            self.c_store().count(Applied.superseded)
            return
        if order._carried.units != 0 and compare(executed, order._carried) >= 0:
            subtract(executed, order._carried, executed)
        if misc:
            order._reported_quote = misc.get("cumulative_quote", order._reported_quote)
            if state == OrderState.failed and order.is_open:
                self._failures[order.client_order_id] = (misc.get("error_message"), misc.get("error_type"))
            if "amended_price" in misc or "amended_amount" in misc:
                self._amend(order, misc, venue_ns)
            if not self.itemised_fills:
                self._book_provisional(order, executed, venue_ns)
        cdef Applied applied = self.c_store().process_state(
            order._slot, state, venue_ns, executed, self.clock.c_now_ns(), TransitionReason.report
        )
        if is_terminal(state) and order._end_reported_ns == 0:
            order._end_reported_ns = self.clock.c_monotonic_ns()
        if applied == Applied.illegal:
            self._logger.warning("%s: %s cannot become %s; ignored", order.client_order_id,
                                 order.current_state.name, new_state.name)
        self.c_deliver()
        order.c_wake()
        if venue_id == VenueIdOutcome.learned:
            self._replay_parked(order)

    cdef object _amend(self, InFlightOrder order, dict misc, int64_t venue_ns):
        cdef Fixed price, amount
        cdef Applied applied = Applied.bad_amount
        cdef object problem = "it is no possible price or amount"
        try:
            price = fixed_from(misc.get("amended_price", 0))
            amount = fixed_from(misc.get("amended_amount", 0))
        except AmountError as error:
            self.c_store().count(Applied.bad_amount)
            problem = error
        else:
            if amount.units != 0:
                subtract(amount, order._carried, amount)
            applied = self.c_store().process_amend(order._slot, price, amount, venue_ns, self.clock.c_now_ns())
            order._price = order._amount = None
        if applied == Applied.overfill:
            problem = f"{order.executed_amount_base} are executed already"
        if applied == Applied.overfill or applied == Applied.bad_amount:
            self._alarm("amend", order, f"{order.client_order_id}: amend to {misc.get('amended_amount')} at "
                        f"{misc.get('amended_price')} ignored: {problem}")

    def process_trade_update(self, update) -> None:
        """Books a TradeUpdate once (by pair and trade id) and delivers the events it causes before it returns. One of
        an order that is not known waits for it, and is told as an orphan if none comes."""
        cdef tuple fields = fields_of(update, 10)
        cdef str trade_id = fields[0], exchange_order_id = fields[2]
        cdef object price = fields[5], amount = fields[6], fee = fields[8]
        cdef InFlightOrder order = self._order_of(update, fields[1], exchange_order_id, fields[3])
        if order is None:
            return
        cdef Fill fill
        try:
            parse_fill(self.c_store(), fields, &fill)
        except AmountError as error:
            self.c_store().count(Applied.bad_amount)
            self._alarm("bad_amount", order, f"fill {trade_id} of {order.client_order_id} refused: {error}")
            return
        cdef vector[Fee] more_fees
        cdef str fee_problem = parse_fees(self.c_store(), self._assets, fee, &fill, more_fees)
        order = self._survivor(order, exchange_order_id, None)
        cdef VenueIdOutcome venue_id = self._take_exchange_id(order, exchange_order_id)
        if venue_id == VenueIdOutcome.taken:
            return
        cdef Applied applied = self.c_store().process_fill(
            order._slot, fill, self.clock.c_now_ns(), more_fees.data(), more_fees.size()
        )
        if applied == Applied.changed:
            if type(price) is _Decimal and type(amount) is _Decimal and fee is not None:
                self._told_number, self._told_fields = order.c_record().last_fill, fields
            if fee_problem is not None:
                self._alarm("fee", order, f"fill {trade_id} of {order.client_order_id}: {fee_problem}")
        elif applied == Applied.bad_amount:
            self._alarm("bad_amount", order, f"fill {trade_id} of {order.client_order_id} refused: "
                        f"{amount} at {price} is no possible execution")
        elif applied == Applied.foreign:
            self._alarm("foreign", order, f"fill {trade_id} of {order.client_order_id} refused: the trade id is "
                        f"another order's on {order.trading_pair}")
        self.c_deliver()
        self._told_number, self._told_fields = kNoFill, None
        order.c_wake()
        if venue_id == VenueIdOutcome.learned:
            self._replay_parked(order)

    def settle_with_provisional_fill(self, InFlightOrder order not None, double after_s=0.0) -> None:
        """Ends an order whose end was reported `after_s` seconds ago and whose executions cannot be had: what the venue
        counts beyond the booked fills becomes one provisional fill. Real fills replace it whenever they come."""
        cdef int64_t waited_ns = self.clock.c_monotonic_ns() - order._end_reported_ns
        cdef OrderRecord* record = order.c_record()
        if order.awaits_fills and waited_ns >= <int64_t>(after_s * 1e9):
            self._book_provisional(
                order, record.amount() if record.reported == OrderState.filled else record.reported_base(), 0
            )

    def expire(self) -> None:
        """Gives up waiting for orders that did not become known, and forgets ended orders that are too old. The
        connector calls it every second."""
        if self._some_parked:
            for update in self._parked.expire(self.clock.c_monotonic_ns()):
                self._orphan(update)
            self._some_parked = len(self._parked) != 0
        self._forget_oldest()
        cdef int64_t since_ns = self.clock.c_now_ns() - <int64_t>(self.finished_orders_ttl_s * 1e9)
        while not self._delivering and self._ended:
            if (<InFlightOrder>self._ended[0]).c_record().done_ns() > since_ns:
                break
            self._forget_first()

    # -- whose update it is ------------------------------------------------------------------------------------

    cdef InFlightOrder _order_of(self, object update, str client_order_id, str exchange_order_id, str trading_pair):
        cdef InFlightOrder order = self.c_find(client_order_id, exchange_order_id, trading_pair)
        if order is None:
            self._unmatched(update, bool(client_order_id or exchange_order_id))
        elif trading_pair != order.trading_pair:
            self.c_store().count(Applied.foreign)
            self._alarm("foreign", order, f"{order.client_order_id} is on {order.trading_pair}; an update that puts it "
                        f"on {trading_pair} is ignored")
            return None
        elif order._successor is not None and order._successor._store != NULL:
            return order._successor
        return order

    cdef object _unmatched(self, object update, bint has_id):
        cdef VenueId trade_id = kNoVenueId
        if isinstance(update, TradeUpdate):
            trade_id = self.c_store().ids().find(view_of(update.trade_id))
        if (trade_id != kNoVenueId
                and self.c_store().find_trade(self.c_symbol(update.trading_pair), trade_id) != kNoFill):
            self.c_store().count(Applied.duplicate_fill)    # of an order that is forgotten by now
            return
        self.c_store().count(Applied.unknown_order)
        if not has_id:
            self._orphan(update)
            return
        cdef int64_t now_ns = self.clock.c_monotonic_ns()
        self._parked.park(update, now_ns)
        self._some_parked = True
        for expired in self._parked.expire(now_ns):
            self._orphan(expired)

    cdef object _orphan(self, object update):
        cdef VenueId trade_id
        cdef uint32_t symbol = self.c_symbol(update.trading_pair)
        cdef double timestamp = ns_to_seconds(self.clock.c_now_ns())
        self.orphan_count += 1
        if isinstance(update, TradeUpdate):
            trade_id = self.c_store().ids().intern(view_of(update.trade_id))
            if trade_id != kNoVenueId:
                if self.c_store().find_trade(symbol, trade_id) != kNoFill:
                    return
                self.c_store().remember_trade(symbol, trade_id)
            self._pubsub.publish(OrphanFillEvent(timestamp, update))
        elif not update.new_state.is_terminal and (update.client_order_id or update.exchange_order_id):
            self._pubsub.publish(OrphanOrderEvent(timestamp, update))

    cdef object _replay_parked(self, InFlightOrder order):
        if not self._some_parked:
            return
        for update in self._parked.take(order.trading_pair, order.client_order_id, order.exchange_order_id):
            if isinstance(update, TradeUpdate):
                self.process_trade_update(update)
            else:
                self.process_order_update(update)

    cdef VenueIdOutcome _take_exchange_id(self, InFlightOrder order, str exchange_order_id) except *:
        cdef VenueId venue_id
        cdef VenueIdOutcome outcome
        if not exchange_order_id or exchange_order_id == order.c_exchange_order_id():
            return VenueIdOutcome.head
        venue_id = self.c_store().ids().intern(view_of(exchange_order_id))
        if venue_id == kNoVenueId:
            self._logger.warning("%s: exchange order id %r is too long, ignored", order.client_order_id,
                                 exchange_order_id)
            return VenueIdOutcome.head
        outcome = self.c_store().process_exchange_id(order._slot, venue_id)
        if outcome == VenueIdOutcome.learned:
            order._exchange_id, order._exchange_order_id = venue_id, exchange_order_id
        elif outcome == VenueIdOutcome.taken:
            self.c_store().count(Applied.foreign)
            self._alarm("foreign", order, f"an update names {order.client_order_id} and exchange order id "
                        f"{exchange_order_id}, which is another order's; it is ignored")
        return outcome

    cdef InFlightOrder _survivor(self, InFlightOrder order, str exchange_order_id, object shown):
        """The order itself; or, if it counts as gone and the venue shows life in it, the external order under which
        what is left of it lives on. The end stays as it was told."""
        cdef OrderRecord* record = order.c_record()
        if record.state != OrderState.failed and not record.ended_by_absence:
            return order
        venue_id = exchange_order_id or order.exchange_order_id
        self._alarm("life_after_end", order, f"{order.client_order_id} has ended here as {order.current_state.name}, "
                    f"and the venue shows it as {'executed' if shown is None else shown.name} under exchange order id "
                    f"{venue_id}: look after it")
        cdef Fixed left
        subtract(record.amount(), record.executed_base(), left)
        if venue_id is None or left.units <= 0:
            return order
        cdef InFlightOrder survivor = InFlightOrder(
            f"external-{order.trading_pair}-{venue_id}", order.trading_pair, order.order_type, order.trade_type,
            fixed_to_decimal(left), ns_to_seconds(self.clock.c_now_ns()), order.price, venue_id,
            leverage=order.leverage, position=order.position,
        )
        survivor._carried = record.executed_base()
        order._successor = survivor
        self._adopt(survivor)
        return survivor

    # -- fills -------------------------------------------------------------------------------------------------

    cdef object _book_provisional(self, InFlightOrder order, Fixed executed, int64_t venue_ns):
        cdef OrderRecord* record = order.c_record()
        cdef Fixed missing
        subtract(executed, record.executed_base(), missing)
        if missing.units <= 0:
            return
        amount = fixed_to_decimal(missing)
        if order._reported_quote is not None and order._reported_quote > order.executed_amount_quote:
            quote = order._reported_quote - order.executed_amount_quote
        else:
            quote = _QUOTE.multiply(self._estimated_price(order), amount)
        self.process_trade_update(TradeUpdate(
            trade_id=provisional_trade_id(record.client_id, executed),
            client_order_id=order.client_order_id,
            exchange_order_id=order.exchange_order_id or "",
            trading_pair=order.trading_pair,
            fill_timestamp=ns_to_seconds(venue_ns),
            fill_price=_AVERAGE.divide(quote, amount),
            fill_base_amount=amount,
            fill_quote_amount=quote,
            fee=AddedToCostTradeFee(),
        ))

    def _estimated_price(self, InFlightOrder order):
        """Where the venue has not said it: the order's own, that of its other executions, its trigger, the market."""
        for price in (order.price, order.average_executed_price, order.trigger_price):
            if price:
                return price
        price = None if self.market_price is None else self.market_price(order.trading_pair)
        if price is None:
            self._alarm("no_price", order, f"{order.client_order_id}: the venue counts an execution and tells no price "
                        "of it, and there is none in the market: it is booked at 0")
            return Decimal(0)
        return price

    # -- what we know ourselves --------------------------------------------------------------------------------

    cdef void c_mark(self, InFlightOrder order, OrderState state, TransitionReason reason=TransitionReason.local):
        """A state that we know by ourselves: submitting, cancelling, no answer."""
        cdef Fixed nothing
        cdef int64_t now_ns = self.clock.c_now_ns()
        if order._store != NULL:
            if self.journal is not None and state == OrderState.pending_submit:
                self.journal.c_submitted(order.c_record().client_id, now_ns)
            elif self.journal is not None and state == OrderState.unknown:
                self.journal.c_unknown(order.c_record().client_id, now_ns)
            self.c_store().process_state(order._slot, state, 0, nothing, now_ns, reason)
            self.c_deliver()
            order.c_wake()

    def mark_submitted(self, InFlightOrder order not None):
        self.c_mark(order, OrderState.pending_submit)

    def mark_pending_cancel(self, InFlightOrder order not None):
        self.c_mark(order, OrderState.pending_cancel)

    def mark_pending_update(self, InFlightOrder order not None):
        self.c_mark(order, OrderState.pending_update)

    def mark_unknown(self, InFlightOrder order not None):
        self.c_mark(order, OrderState.unknown)

    def mark_failed(self, InFlightOrder order not None, error):
        """Ends an order that was refused: by us before anything left, or by the venue's word."""
        if order.is_tracked and order.is_open:
            self._failures[order.client_order_id] = (str(error), type(error).__name__)
            self.c_mark(order, OrderState.failed)

    def mark_absent(self, InFlightOrder order not None, error):
        """Ends an order that the venue denies and keeps denying: as FAILED if it never acknowledged it, else as
        CANCELED. Should the venue show life in it yet, it lives on as an external order."""
        if not (order.is_tracked and order.is_open):
            return
        order.c_record().ended_by_absence = True
        if order.acked_ns == 0:
            self._failures[order.client_order_id] = (str(error), type(error).__name__)
            self.c_mark(order, OrderState.failed, TransitionReason.absence)
        else:
            self.c_mark(order, OrderState.canceled, TransitionReason.absence)

    def revert_pending(self, InFlightOrder order not None):
        """The venue refused a cancel or amend: the order lives on as before."""
        if order._store != NULL:
            self.c_store().process_revert(order._slot, self.clock.c_now_ns())
            order.c_wake()

    def note_not_found(self, InFlightOrder order not None):
        """Counts a venue's "no such order" about it."""
        cdef OrderRecord* record = order.c_record()
        if record.not_found_count < UINT16_MAX:
            record.not_found_count += 1

    # -- events ----------------------------------------------------------------------------------------------

    def add_event_sink(self, OrderEventSink sink not None):
        """Tells the sink every event from now on. The tracker keeps a reference; adding it twice is once."""
        if sink not in self._sinks:
            self._sinks = [*self._sinks, sink]

    def remove_event_sink(self, OrderEventSink sink not None):
        self._sinks = [other for other in self._sinks if other is not sink]

    cdef void _tell_sinks(self, OrderEvent event) noexcept:
        cdef OrderEventSink sink
        for sink in self._sinks:
            sink.c_on_event(self.c_store(), event)

    cdef void c_deliver(self):
        # A listener may act on the connector and so queue more events: they follow, in order, from this same loop.
        if self._delivering:
            return
        self._delivering = True
        cdef const OrderEvent* event
        try:
            event = self.c_store().next_event()
            while event != NULL:
                self._deliver_one(event[0])
                event = self.c_store().next_event()
        finally:
            self._delivering = False
        self._forget_oldest()

    cdef void _deliver_one(self, OrderEvent event):
        cdef InFlightOrder order = self._by_slot[event.slot]
        if order is None:
            return
        if self.journal is not None and event.kind != OrderEventKind.overfill:
            self.journal.c_write_event(
                self.c_store(), event, self._failures.get(order.client_order_id) if self._failures else None
            )
        if self._sinks:
            self._tell_sinks(event)
        if event.kind == OrderEventKind.overfill:
            self._alarm("overfill", order, f"{order.client_order_id}: the venue reports more executed than ordered "
                        f"({order.executed_amount_base} of {order.amount} booked); the fill was refused")
            return
        if event.kind == OrderEventKind.replaced:
            real = fill_to_trade_update(self.c_store(), order, self.c_store().fill(event.fill))
            self._pubsub.publish_to(MarketEvent.TradeUpdate, real)
            self._alarm("fill_replaced", order, f"{order.client_order_id}: fill {real.trade_id} itemises "
                        f"{fixed_to_text(event.amount)} that was told as executed already; executed quote is "
                        f"{order.executed_amount_quote} now")
            return
        cdef tuple failure = None
        if event.kind == OrderEventKind.failed:
            failure = self._failures.pop(order.client_order_id, None)
        elif event.kind == OrderEventKind.late_fill:
            trade_id = venue_id_text(self.c_store(), self.c_store().fill(event.fill).trade_id)
            self._alarm("late_fill", order, f"{order.client_order_id} had ended as {order.current_state.name} when "
                        f"fill {trade_id} of {fixed_to_text(event.amount)} came in; it is booked")
        if OrderEventKind.completed <= event.kind <= OrderEventKind.expired:
            self._finish(order)     # before the listeners hear of it: to them an ended order is not in flight
        cdef tuple listeners = self._pubsub.c_listeners(order_event_class(event.kind, order.c_record().trade_type))
        cdef tuple told = None
        if listeners:
            if event.fill == self._told_number:
                told = self._told_fields
            self._pubsub.c_call(listeners, order_event_payload(order, self.c_store(), event, told, failure))

    cdef void _finish(self, InFlightOrder order):
        if self._active.get(order.client_order_id) is order:
            del self._active[order.client_order_id]
            self._finished[order.client_order_id] = order
            self._ended.append(order)

    cdef void _forget_oldest(self):
        # Not in the middle of a delivery: events of these orders may still be queued.
        if not self._delivering:
            while len(self._finished) > self.finished_orders_max:
                self._forget_first()

    cdef void _forget_first(self):
        cdef InFlightOrder order = self._ended.popleft()
        del self._finished[order.client_order_id]
        self._release(order)

    cdef void _alarm(self, str kind, InFlightOrder order, str message):
        cdef double timestamp = ns_to_seconds(self.clock.c_now_ns())
        self._pubsub.publish_error(ErrorEvent(timestamp, kind, message, order.client_order_id))
