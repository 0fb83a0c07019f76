"""An order as Python sees it: a view on its record in the tracker's C++ store, exact and never out of date."""

import asyncio
from decimal import Decimal

from libc.math cimport llround
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libcpp.string_view cimport string_view

from qtxconn.core.fixed cimport Fixed, fixed_from, fixed_to_decimal, fixed_to_text
from qtxconn.core.order_store cimport (
    Applied,
    Fee,
    Fill,
    OrderRecord,
    OrderState,
    OrderStore,
    OrderType,
    PositionAction,
    TradeType,
    Transition,
    TransitionReason,
    VenueId,
    can_move,
    is_end_due,
    is_executed,
    is_order_state,
    is_terminal,
    is_text_id,
    kNoAsset,
    kNoFill,
    kNoId,
    kNoVenueId,
    kSeveralFees,
    kTransitionsKept,
    kVenueIdTextMax,
    to_base_units,
)

from qtxconn.core import types
from qtxconn.errors import AmountError, OrderValidationError


cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL


cdef dict _STATES = {state.value: state for state in types.OrderState}
cdef tuple _STATE_MEMBERS = tuple(types.OrderState)
cdef OrderState _state_codes[11]
for _place, _state in enumerate(_STATE_MEMBERS):
    _state_codes[<int>_place] = <OrderState><uint8_t>_state.value
cdef object _Decimal = Decimal
_REASONS = {
    <int>TransitionReason.local: "local",
    <int>TransitionReason.report: "report",
    <int>TransitionReason.fill: "fill",
    <int>TransitionReason.refusal: "refusal",
    <int>TransitionReason.absence: "absence",
}
# By C value; 0 is no order type and no side.
_kinds = {kind.value: kind for kind in types.OrderType}
cdef tuple _ORDER_TYPES = tuple([_kinds.get(code) for code in range(max(_kinds) + 1)])
cdef tuple _TRADE_TYPES = (None, *types.TradeType)
cdef tuple _POSITIONS = (types.PositionAction.NIL, types.PositionAction.OPEN, types.PositionAction.CLOSE)
cdef tuple _POSITION_NAMES = tuple([action.value for action in _POSITIONS])
cdef object _NIL = types.PositionAction.NIL
cdef dict _POSITION_CODES = {action.value: code for code, action in enumerate(_POSITIONS)}


cdef object order_type_to_python(OrderType order_type):
    return _ORDER_TYPES[<uint8_t>order_type]


cdef uint8_t code_of(tuple members, object value) except 0:
    """Place of an enumeration's member among `members`, which is its value; its look-up by name takes much longer."""
    cdef Py_ssize_t i
    for i in range(1, len(members)):
        if members[i] is value:
            return i
    return value._value_


cdef object trade_type_to_python(TradeType trade_type):
    return _TRADE_TYPES[<uint8_t>trade_type]


cdef object position_to_python(PositionAction position):
    return _POSITIONS[<uint8_t>position]


cdef str position_name(PositionAction position):
    return _POSITION_NAMES[<uint8_t>position]


cdef object state_to_python(OrderState state):
    return _STATES[<uint8_t>state]


cdef OrderState state_from_python(object state) except *:
    cdef Py_ssize_t i
    for i in range(len(_STATE_MEMBERS)):
        if _STATE_MEMBERS[i] is state:
            return _state_codes[i]
    cdef int value = state._value_
    if not 0 <= value < 256 or not is_order_state(<uint8_t>value):
        raise ValueError(f"{state!r} is not an order state")
    return <OrderState><uint8_t>value


cdef str text_of(string_view text):
    return text.data()[:text.size()].decode("utf-8", "replace")


cdef string_view view_of(str text) except *:
    # Valid as long as the str lives: CPython keeps the UTF-8 form with it.
    cdef Py_ssize_t size = 0
    cdef const char* data = PyUnicode_AsUTF8AndSize(text, &size)
    return string_view(data, <size_t>size)


cdef int64_t seconds_to_ns(double seconds) noexcept nogil:
    if not -9e9 < seconds < 9e9:
        return 0    # NaN, infinity or beyond 64 bits: as if no time was given
    # A double holds today's time in seconds to 0.24 us: whole microseconds come back exactly.
    return llround(seconds * 1e6) * 1000


cdef double ns_to_seconds(int64_t ns) noexcept nogil:
    # By way of microseconds, which a double counts exactly: today's nanoseconds it does not.
    return <double>(ns // 1000) / 1e6


cdef str venue_id_text(OrderStore* store, VenueId venue_id):
    cdef char[20] number
    return text_of(store.ids().text(venue_id, number))


cdef object fill_to_trade_update(OrderStore* store, InFlightOrder order, const Fill& fill):
    """`store` is null for a fill that says all by itself."""
    cdef Fill copy = fill
    cdef Fee fee
    cdef size_t number = 0
    fees = []
    if store != NULL:
        trade_id = venue_id_text(store, copy.trade_id)
        fee = store.fee(copy, number)
        while fee.asset != kNoAsset:
            fees.append(types.TokenAmount(text_of(store.asset(fee.asset)), fixed_to_decimal(fee.amount)))
            number += 1
            fee = store.fee(copy, number)
    else:
        trade_id = str(copy.trade_id)
        fee = copy.fee()
        if fee.asset != kNoAsset:
            fees.append(types.TokenAmount(order._assets[fee.asset - 1], fixed_to_decimal(fee.amount)))
    return types.TradeUpdate(
        trade_id=trade_id,
        client_order_id=order.client_order_id,
        exchange_order_id=order.c_exchange_order_id() or "",
        trading_pair=order.trading_pair,
        fill_timestamp=ns_to_seconds(copy.venue_ns),
        fill_price=fixed_to_decimal(copy.price()),
        fill_base_amount=fixed_to_decimal(copy.amount()),
        fill_quote_amount=fixed_to_decimal(copy.quote()),
        fee=types.AddedToCostTradeFee(flat_fees=fees),
        is_taker=bool(copy.is_taker),
    )


def legal_moves():
    """The state machine's table: {state: set of states it may move to}."""
    states = types.OrderState
    return {
        source: {target for target in states if can_move(state_from_python(source), state_from_python(target))}
        for source in states
    }


cdef class InFlightOrder:
    """One order, from before it is sent until long after it has ended.

    While tracked it is a view on the tracker's record, so every read is current; once the tracker has forgotten the
    order it keeps a copy of its last state. `price` is in quote per base (None for a market order without one),
    `trigger_price` likewise, of a conditional order (None for a trailing stop that follows from the start);
    amounts are Decimals in base or quote asset, `*_timestamp` in seconds, `*_ns` in ns, both local wall time.
    """

    def __init__(
        self,
        str client_order_id not None,
        str trading_pair not None,
        order_type,
        trade_type,
        amount,
        double creation_timestamp,
        price=None,
        str exchange_order_id=None,
        initial_state=types.OrderState.PENDING_CREATE,
        uint16_t leverage=1,
        position=types.PositionAction.NIL,
        trigger_price=None,
    ):
        if trading_pair.count("-") != 1:
            raise OrderValidationError(f"a trading pair looks like BTC-USDT, not {trading_pair!r}")
        if position is not _NIL:
            position_code = _POSITION_CODES.get(getattr(position, "_value_", None))
            if position_code is None:
                raise OrderValidationError(f"position_action is a PositionAction, not {position!r}")
            self._own.position = <PositionAction><uint8_t>position_code
        self.client_order_id = client_order_id
        self.trading_pair = trading_pair
        self._own.order_type = <OrderType>code_of(_ORDER_TYPES, order_type)
        self._own.trade_type = <TradeType>code_of(_TRADE_TYPES, trade_type)
        cdef Fixed exact = fixed_from(amount)
        if exact.units <= 0:
            raise OrderValidationError(f"an order's amount must be positive, not {amount}")
        self._own.set_amount(exact)
        self._amount = amount if type(amount) is _Decimal else None
        if price is not None:
            exact = fixed_from(price)
            self._own.set_price(exact)
            self._price = price if type(price) is _Decimal and exact.units != 0 else None
        if trigger_price is not None:
            self.trigger_price = fixed_to_decimal(fixed_from(trigger_price))
        self._own.created_ns = seconds_to_ns(creation_timestamp)
        self._own.state = state_from_python(initial_state)
        # Known to live, or to have ended, before it is tracked: those events are history.
        cdef OrderState state = self._own.state
        if is_terminal(state):
            self._own.created_sent = self._own.terminal_sent = True
            self._own.reported = state
        elif (state == OrderState.open or state == OrderState.partially_filled
              or state == OrderState.pending_update):
            self._own.created_sent = True
            self._own.acked_ns = self._own.created_ns
        self._own.leverage = leverage
        if exchange_order_id is not None and view_of(exchange_order_id).size() > kVenueIdTextMax:
            raise OrderValidationError(
                f"exchange order id {exchange_order_id!r} is too long ({kVenueIdTextMax} bytes at most)"
            )
        self._exchange_order_id = exchange_order_id or None

    # -- the record ------------------------------------------------------------------------------------------

    cdef OrderRecord* c_record(self) noexcept:
        if self._store != NULL:
            return &self._store.at(self._slot)
        return &self._own

    cdef str c_exchange_order_id(self):
        cdef VenueId now
        if self._store != NULL:
            now = self.c_record().exchange_id
            if now != self._exchange_id:
                self._exchange_id = now
                self._exchange_order_id = venue_id_text(self._store, now) or None
        return self._exchange_order_id

    cdef object c_price(self):
        cdef Fixed price
        if self._price is None:
            price = self.c_record().price()
            if price.units != 0:
                self._price = fixed_to_decimal(price)
        return self._price

    cdef object c_amount(self):
        if self._amount is None:
            self._amount = fixed_to_decimal(self.c_record().amount())
        return self._amount

    cdef object c_executed_base(self):
        cdef OrderRecord* record = self.c_record()
        return self.c_amount() if is_executed(record[0]) else fixed_to_decimal(record.executed_base())

    cdef void c_attach(self, object owner, OrderStore* store, uint32_t slot):
        self._owner = owner
        self._store = store
        self._slot = slot
        self._exchange_id = self.c_record().exchange_id

    cdef void c_detach(self, list assets):
        # The fills are copied as they are: nearly always nobody asks for them any more.
        if self._keep_plain_fills():
            self._assets = assets
        else:
            self._kept_fills.clear()
            self._own_fills = self.order_fills
        if self.c_record().past_id != kNoId:
            self._own_past_ids = self.exchange_order_ids
            self._own_past_ids.pop()
        self.c_exchange_order_id()
        self._own = self.c_record()[0]
        self._own.exchange_id = self._exchange_id = kNoVenueId     # a number of the store's, and the store moves on
        self._store = NULL
        self._owner = None

    cdef bint _keep_plain_fills(self):
        """False if one refers to the store: by a trade id that is no number, or by several fees."""
        cdef int32_t number = self.c_record().first_fill
        while number != kNoFill:
            if is_text_id(self._store.fill(number).trade_id) or self._store.fill(number).fee_asset == kSeveralFees:
                return False
            self._kept_fills.push_back(self._store.fill(number))
            number = self._store.fill(number).next
        return True

    cdef void c_wake(self):
        if self._waiters is None:
            return
        waiters, self._waiters = self._waiters, None
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # -- identity --------------------------------------------------------------------------------------------

    @property
    def client_id(self) -> int:
        """The client order id as the 64-bit number that goes over numeric wires; 0 before the order is tracked."""
        return self.c_record().client_id

    @property
    def exchange_order_id(self):
        """The venue's id, or None while it has given none; the newest where an amend or a replacement gave new ones."""
        return self.c_exchange_order_id()

    @property
    def exchange_order_ids(self) -> list:
        """Every id that the venue has given the order, oldest first; an update may carry any of them."""
        if self.exchange_order_id is None:
            return []
        if self._store == NULL:
            return [*(self._own_past_ids or ()), self.exchange_order_id]
        ids = [self.exchange_order_id]
        cdef int32_t past = self.c_record().past_id
        while past != kNoId:
            ids.append(venue_id_text(self._store, self._store.past_id(past)))
            past = self._store.next_past_id(past)
        ids.reverse()
        return ids

    @property
    def is_external(self) -> bool:
        """Not placed here but adopted: the venue knows it by its `exchange_order_id` only, not by our client id."""
        return self.c_record().is_external

    @property
    def base_asset(self) -> str:
        return self.trading_pair.split("-")[0]

    @property
    def quote_asset(self) -> str:
        return self.trading_pair.split("-")[1]

    @property
    def order_type(self):
        return order_type_to_python(self.c_record().order_type)

    @property
    def trade_type(self):
        return trade_type_to_python(self.c_record().trade_type)

    @property
    def position(self):
        return position_to_python(self.c_record().position)

    @property
    def leverage(self) -> int:
        return self.c_record().leverage

    @property
    def price(self):
        return self.c_price()

    @property
    def amount(self):
        return self.c_amount()

    # -- progress --------------------------------------------------------------------------------------------

    @property
    def current_state(self):
        return state_to_python(self.c_record().state)

    @property
    def reported_state(self):
        """What the venue said last; differs from `current_state` while fills are still missing."""
        return state_to_python(self.c_record().reported)

    @property
    def awaits_fills(self) -> bool:
        """The venue has reported the end of the order, and some of the fills it counted have not come in yet."""
        cdef OrderRecord* record = self.c_record()
        return not is_terminal(record.state) and is_terminal(record.reported) and not is_end_due(record[0])

    @property
    def executed_amount_base(self):
        return self.c_executed_base()

    @property
    def executed_amount_quote(self):
        return fixed_to_decimal(self.c_record().executed_quote())

    @property
    def average_executed_price(self):
        """Quote per base over all fills, or None before the first. For display: the quotient is rounded."""
        base = self.executed_amount_base
        return self.executed_amount_quote / base if base else None

    @property
    def order_fills(self) -> dict:
        """{trade id: TradeUpdate} in the order they were booked."""
        cdef int32_t number
        cdef size_t i
        updates = []
        if self._store == NULL:
            if self._own_fills is not None:
                return dict(self._own_fills)
            for i in range(self._kept_fills.size()):
                updates.append(fill_to_trade_update(NULL, self, self._kept_fills[i]))
        else:
            number = self.c_record().first_fill
            while number != kNoFill:
                updates.append(fill_to_trade_update(self._store, self, self._store.fill(number)))
                number = self._store.fill(number).next
        return {update.trade_id: update for update in updates}

    def cumulative_fee_paid(self, str token not None):
        """Sum of the fees that were charged in `token`."""
        total = Decimal(0)
        for fill in self.order_fills.values():
            for fee in fill.fee.flat_fees:
                if fee.token == token:
                    total += fee.amount
        return total

    @property
    def is_tracked(self) -> bool:
        return self._store != NULL

    @property
    def is_pending_create(self) -> bool:
        return self.c_record().state == OrderState.pending_create

    @property
    def is_pending_cancel_confirmation(self) -> bool:
        return self.c_record().state == OrderState.pending_cancel

    @property
    def is_open(self) -> bool:
        """Not ended, as far as is known (an UNKNOWN order counts as open)."""
        return not is_terminal(self.c_record().state)

    @property
    def is_done(self) -> bool:
        return is_terminal(self.c_record().state)

    @property
    def is_filled(self) -> bool:
        return is_executed(self.c_record()[0])

    @property
    def is_failure(self) -> bool:
        return self.c_record().state == OrderState.failed

    @property
    def is_cancelled(self) -> bool:
        return self.c_record().state == OrderState.canceled

    @property
    def transitions(self) -> list:
        """The newest moves of `current_state`, oldest first: (time in ns by the local wall clock, from, to, reason).
        The last time is exact; gaps before it are kept to one part in 2^24, so to the nanosecond up to 16 ms.

        `reason` is `report` (the venue's word), `fill`, `local` (what we did or know ourselves), `refusal` (of a cancel
        or an amend) or `absence` (the venue kept saying that there is no such order).
        """
        cdef OrderRecord* record = self.c_record()
        cdef uint32_t number = record.transition_count
        cdef uint32_t first = number - kTransitionsKept if number > kTransitionsKept else 0
        cdef Transition move
        moves = []
        for number in range(first, record.transition_count):
            move = record.transition(number)
            moves.append(types.OrderTransition(move.time_ns, state_to_python(move.source), state_to_python(move.target),
                                               _REASONS[<int>move.reason]))
        return moves

    @property
    def not_found_count(self) -> int:
        """How often the venue has answered "no such order" about it. By itself that ends nothing."""
        return self.c_record().not_found_count

    # -- times -----------------------------------------------------------------------------------------------

    @property
    def creation_timestamp(self) -> float:
        return ns_to_seconds(self.c_record().created_ns)

    @property
    def last_update_timestamp(self) -> float:
        """The venue's clock at the newest update, in seconds; the creation time before the first."""
        cdef OrderRecord* record = self.c_record()
        return ns_to_seconds(record.venue_ns if record.venue_ns else record.created_ns)

    @property
    def creation_timestamp_ns(self) -> int:
        return self.c_record().created_ns

    @property
    def submitted_ns(self) -> int:
        """When the first byte left; 0 = not yet. The same holds for the other stages."""
        return self.c_record().submitted_ns

    @property
    def acked_ns(self) -> int:
        return self.c_record().acked_ns

    @property
    def first_fill_ns(self) -> int:
        return self.c_record().first_fill_ns

    @property
    def done_ns(self) -> int:
        return self.c_record().done_ns()

    # -- waiting ---------------------------------------------------------------------------------------------

    async def _wait_until(self, condition):
        while not condition():
            waiter = asyncio.get_running_loop().create_future()
            if self._waiters is None:
                self._waiters = []
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                if self._waiters is not None and waiter in self._waiters:
                    self._waiters.remove(waiter)

    async def get_exchange_order_id(self, double timeout=10.0):
        """The venue's id, waiting for it up to `timeout` seconds. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            await self._wait_until(lambda: self.exchange_order_id is not None)
        return self.exchange_order_id

    async def wait_until_completely_filled(self):
        await self._wait_until(lambda: self.is_filled)

    async def wait_until_processed_by_exchange(self):
        """Until the venue has given a first word: accepted, refused or ended."""
        await self._wait_until(lambda: self.c_record().acked_ns != 0 or self.is_done)

    async def wait_until_done(self):
        await self._wait_until(lambda: self.is_done)

    # -- keeping ---------------------------------------------------------------------------------------------

    def to_json(self) -> dict:
        """A dict of JSON values with Hummingbot's keys; numbers are decimal text, so that nothing is rounded."""
        cdef OrderRecord* record = self.c_record()
        return {
            "client_order_id": self.client_order_id,
            "exchange_order_id": self.exchange_order_id,
            "trading_pair": self.trading_pair,
            "order_type": self.order_type.name,
            "trade_type": self.trade_type.name,
            "price": None if record.price().units == 0 else fixed_to_text(record.price()),
            "trigger_price": None if self.trigger_price is None else str(self.trigger_price),
            "amount": fixed_to_text(record.amount()),
            "executed_amount_base": str(self.executed_amount_base),
            "executed_amount_quote": str(self.executed_amount_quote),
            "last_state": str(self.current_state.value),
            "leverage": str(self.leverage),
            "position": self.position.value,
            "is_external": self.is_external,
            "creation_timestamp": self.creation_timestamp,
            "last_update_timestamp": self.last_update_timestamp,
            "order_fills": {trade_id: fill.to_json() for trade_id, fill in self.order_fills.items()},
        }

    @classmethod
    def from_json(cls, data):
        """The order that to_json() wrote, not tracked yet. The executed amounts are the sums of its fills: raises
        AmountError if the text says otherwise."""
        cdef InFlightOrder order = cls(
            data["client_order_id"],
            data["trading_pair"],
            types.OrderType[data["order_type"]],
            types.TradeType[data["trade_type"]],
            data["amount"],
            data["creation_timestamp"],
            price=data["price"],
            exchange_order_id=data["exchange_order_id"],
            initial_state=types.OrderState(int(data["last_state"])),
            leverage=int(data["leverage"]),
            position=types.PositionAction(data["position"]),
            trigger_price=data.get("trigger_price"),
        )
        order._own.is_external = data.get("is_external", False)
        order._own_fills = {
            trade_id: types.TradeUpdate.from_json(fill) for trade_id, fill in data["order_fills"].items()
        }
        base = sum((fill.fill_base_amount for fill in order._own_fills.values()), Decimal(0))
        quote = sum((fill.fill_quote_amount for fill in order._own_fills.values()), Decimal(0))
        if base != Decimal(data["executed_amount_base"]) or quote != Decimal(data["executed_amount_quote"]):
            raise AmountError(f"{order.client_order_id}: the executed amounts are not the sums of the fills")
        if to_base_units(order._own, fixed_from(base), order._own.executed_units) != Applied.changed:
            raise AmountError(f"{order.client_order_id}: {base} cannot be held exactly beside {order.amount}")
        order._own.set_executed_quote(fixed_from(quote))
        if data["last_update_timestamp"] != data["creation_timestamp"]:
            order._own.venue_ns = seconds_to_ns(data["last_update_timestamp"])
        if order._own_fills:
            order._own.created_sent = True
        return order

    def __repr__(self):
        return (
            f"InFlightOrder({self.client_order_id!r}, {self.trading_pair}, {self.trade_type.name} "
            f"{self.order_type.name} {self.amount} @ {self.price}, {self.current_state.name}, "
            f"executed {self.executed_amount_base}, exchange id {self.exchange_order_id})"
        )
