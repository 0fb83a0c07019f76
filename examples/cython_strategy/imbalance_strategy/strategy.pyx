"""Follows the imbalance at the touch: packet to book to journal to order slot in one thread, without the GIL.

When one side of the touch is several times as large as the other, the price tends to move away from it: the strategy
takes one lot in that direction with an immediate-or-cancel order, so its position is never more than one lot. Such an
order's whole outcome is in the order manager's answer, and nothing but this loop has to run.

The feed calls `c_on_book` inside its receive loop, after each message. An order is journalled, tracked and published
there, in this order; what the tracker then has to tell goes to a listener, a C function, that keeps the position.
"""

from typing import NamedTuple

from cython.operator cimport dereference
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libcpp.memory cimport make_unique, unique_ptr
from libcpp.string_view cimport string_view
from libcpp.vector cimport vector

from qtxconn cimport (
    AnswerView,
    BookLevel,
    ClientIds,
    Fill,
    Fixed,
    FixedError,
    JournalKind,
    JournalWriter,
    L2Book,
    LatencyRecorder,
    OrderBook,
    OrderEvent,
    OrderEventKind,
    OrderJournal,
    OrderListener,
    OrderQueue,
    OrderRecord,
    OrderState,
    OrderStore,
    OrderType,
    QueueStatus,
    Side,
    Strategy,
    TextView,
    TradeType,
    UdpFeed,
    add,
    fixed_from,
    fixed_to_decimal,
    format_fixed,
    from_increments,
    import_qtxconn,
    monotonic_ns,
    parse_fixed,
    subtract,
    wall_ns,
)

from qtxconn.core.client_ids import shared_client_ids
from qtxconn.storage.journal import account_tag

import_qtxconn()  # a clean ImportError if the installed qtxconn is not the one this was compiled against

cdef extern from "<sched.h>" nogil:
    int sched_yield() noexcept

cdef enum:
    BUY = 1          # as the order slot spells a side
    SELL = -1
    TYPE_IOC = 0     # ... and a time in force

cdef int64_t DEAD_AFTER_NS = 10_000_000_000   # no order manager places an order that is older


class Report(NamedTuple):
    """What a run did. `position` in base asset, signed; `cash` in quote asset, without fees."""

    packets: int
    book_changes: int
    orders: int
    filled: int
    rejected: int
    unanswered: int
    events: int
    position: object
    cash: object


cdef string_view json_text(string_view message, const char* quoted_key) noexcept nogil:
    """The text value of a JSON key: `"key":"value"`. Empty if it is not there."""
    cdef string_view key = string_view(quoted_key)
    cdef size_t begin = message.find(key)
    if begin >= message.size():  # npos is the largest number
        return string_view()
    begin += key.size()
    cdef size_t end = message.find(b'"', begin)
    return message.substr(begin, end - begin) if end < message.size() else string_view()


cdef class ImbalanceStrategy(Strategy):
    """Trades one pair. `feed` is subscribed to `book` already, with driver="manual": `run` receives. `account` names
    whose orders the journal keeps (the API key, say; a hash of it is written)."""

    cdef:
        UdpFeed _feed                    # kept alive while their pointers are in use
        OrderQueue _queue
        OrderJournal _journal
        readonly LatencyRecorder decision_latency   # book applied -> order slot published
        readonly LatencyRecorder answer_latency     # order slot published -> answer read
        bytes _pair_text
        string_view _pair
        bytes _symbol_text
        TextView _symbol                 # as the venue spells it
        Fixed _tick
        Fixed _amount                    # of every order, base asset
        char _amount_text[32]
        size_t _amount_size
        double _ratio                    # of the touch's sizes
        uint64_t _account
        unique_ptr[OrderStore] _orders   # this strategy's own tracker: no lock, no GIL
        JournalWriter* _writer           # the journal's, during a run
        vector[uint64_t] _ids            # client order ids, drawn before the loop
        Fixed _position
        Fixed _cash
        uint64_t _packets, _changes, _sent, _filled, _rejected, _events
        bint _awaiting                   # one order at a time
        int64_t _sent_ns

    def __init__(
        self, UdpFeed feed not None, OrderBook book not None, OrderQueue queue not None, OrderJournal journal not None,
        str symbol not None, amount, str account not None, double ratio=3.0,
    ):
        self._feed = feed
        self._queue = queue
        self._journal = journal
        self._pair_text = book.trading_pair.encode()
        self._pair = string_view(<const char*>self._pair_text, <size_t>len(self._pair_text))
        self._symbol_text = symbol.encode()
        self._symbol.data = self._symbol_text
        self._symbol.size = <size_t>len(self._symbol_text)
        self._tick = book.c_tick_size
        self._amount = fixed_from(amount)
        self._amount_size = format_fixed(self._amount, self._amount_text)
        self._ratio = ratio
        self._account = account_tag(account)
        self.decision_latency = LatencyRecorder("book -> order slot")
        self.answer_latency = LatencyRecorder("order slot -> answer")
        self._orders = make_unique[OrderStore]()
        dereference(self._orders).keep_events(False)  # nobody takes them: the listener is told
        cdef OrderListener listener
        listener.context = <void*>self  # which owns the tracker, and so outlives it
        listener.on_event = on_order_event
        dereference(self._orders).add_listener(listener)
        feed.set_strategy(self)
        feed.c_feed().set_delivery(False)  # nobody takes news from the feed: this strategy is called

    def run(self, double seconds, int orders_max=20):
        """Trades for `seconds`, or until `orders_max` orders are answered. Call it in a thread: it never yields.

        Raises JournalError if the journal refuses orders."""
        cdef ClientIds ids = shared_client_ids()
        ids.raise_above(self._journal.highest_client_id)
        self._ids.clear()
        for _ in range(orders_max):
            self._ids.push_back(ids.c_next())
        self._journal.maintain()  # room for the orders of this run
        self._writer = self._journal.c_writer()
        cdef int64_t deadline_ns = monotonic_ns() + <int64_t>(seconds * 1e9)
        with nogil:
            self._loop(deadline_ns)
        return Report(
            self._packets, self._changes, self._sent, self._filled, self._rejected, 1 if self._awaiting else 0,
            self._events, fixed_to_decimal(self._position), fixed_to_decimal(self._cash),
        )

    # -- the loop: no Python object is touched from here on ----------------------------------------------------

    cdef void _loop(self, int64_t deadline_ns) noexcept nogil:
        cdef int received
        while monotonic_ns() < deadline_ns and (self._awaiting or not self._ids.empty()):
            received = self._feed.c_poll(64)  # calls c_on_book
            self._packets += <uint64_t>received
            self._take_answers()
            if received == 0:
                sched_yield()

    cdef void c_on_book(self, int symbol, const L2Book* book, int64_t received_ns) noexcept nogil:
        self._changes += 1
        if self._awaiting or self._ids.empty() or not book.valid():
            return
        cdef const BookLevel* bid = book.best(Side.bid)
        cdef const BookLevel* ask = book.best(Side.ask)
        if self._position.units <= 0 and <double>bid.size > self._ratio * <double>ask.size:
            self._take(BUY, ask.price, book.last_update_ns())
        elif self._position.units >= 0 and <double>ask.size > self._ratio * <double>bid.size:
            self._take(SELL, bid.price, book.last_update_ns())

    cdef void _take(self, int64_t side, int64_t ticks, int64_t book_ns) noexcept nogil:
        """Journals the order, tracks it, then publishes its slot: whatever happens next, it is known."""
        cdef OrderRecord order
        cdef char id_text[20]
        cdef char price_text[32]
        cdef TextView amount, price
        cdef Fixed limit, nothing
        cdef int64_t now_ns = wall_ns()
        if from_increments(ticks, self._tick, limit) != FixedError.ok:
            return
        order.set_price(limit)
        order.client_id = self._ids.back()
        order.trade_type = TradeType.buy if side == BUY else TradeType.sell
        order.order_type = OrderType.limit
        order.set_amount(self._amount)
        order.created_ns = now_ns
        if not self._writer.intent(
            order.client_id, dereference(self._orders).ids().text(order.client_id, id_text),
            self._pair, <uint8_t>order.trade_type, <uint8_t>order.order_type, <uint8_t>order.position, limit,
            self._amount, now_ns, now_ns + DEAD_AFTER_NS, self._account, nothing
        ):
            return  # no room: nothing may be sent that is not written down
        self._ids.pop_back()
        cdef unsigned int tracked = dereference(self._orders).start_tracking(order)
        dereference(self._orders).process_state(tracked, OrderState.pending_submit, 0, nothing, now_ns)
        self._writer.mark(JournalKind.submitted, order.client_id, now_ns)

        amount.data = self._amount_text
        amount.size = self._amount_size
        price.data = price_text
        price.size = format_fixed(limit, price_text)
        cdef int slot = self._queue.c_submit_place(
            order.client_id, self._symbol, side, amount, price, TYPE_IOC, <uint64_t>now_ns
        )
        self._sent_ns = wall_ns()
        if slot < 0:  # full, stalled or closed: a definite refusal, nothing was published
            dereference(self._orders).process_state(tracked, OrderState.failed, 0, nothing, self._sent_ns)
            return
        self.decision_latency.c_record(self._sent_ns - book_ns)
        self._sent += 1
        self._awaiting = True

    cdef void _take_answers(self) noexcept nogil:
        cdef AnswerView answer
        while self._queue.c_take_any(answer) == QueueStatus.ok:
            if answer.mode == 1:
                self._apply(answer)
            self._queue.c_release(answer)

    cdef void _apply(self, const AnswerView& answer) noexcept nogil:
        """Books what the answer says was executed, then the end of the order."""
        cdef int64_t now_ns = wall_ns()
        cdef string_view message = string_view(answer.message.data, answer.message.size)
        cdef string_view executed_text = json_text(message, b'"executedQty":"')
        cdef string_view quote_text = json_text(message, b'"cumQuote":"')
        cdef unsigned int tracked = dereference(self._orders).find(answer.client_order_id)
        cdef Fixed nothing, executed, quote
        cdef Fill fill
        self.answer_latency.c_record(now_ns - self._sent_ns)
        self._awaiting = False
        if executed_text.empty() or parse_fixed(executed_text.data(), executed_text.size(), executed) != FixedError.ok:
            dereference(self._orders).process_state(tracked, OrderState.failed, now_ns, nothing, now_ns)
            return
        if executed.units > 0 and parse_fixed(quote_text.data(), quote_text.size(), quote) == FixedError.ok:
            fill.trade_id = answer.client_order_id  # of this order alone; the real trades come on the user stream
            fill.set_price(dereference(self._orders).at(tracked).price())
            fill.set_amount(executed)
            fill.set_quote(quote)
            fill.venue_ns = now_ns
            dereference(self._orders).process_fill(tracked, fill, now_ns)
        dereference(self._orders).process_state(tracked, OrderState.expired, now_ns, executed, now_ns)

    # -- what the tracker tells, inside the update that made it --------------------------------------------------

    cdef void _on_event(self, OrderStore& store, const OrderEvent& event) noexcept nogil:
        self._events += 1
        if event.kind == OrderEventKind.filled:
            self._on_fill(store, store.at(event.slot), store.fill(event.fill), event.time_ns)
        elif event.kind != OrderEventKind.created:
            self._on_end(store.at(event.slot), event.time_ns)

    cdef void _on_fill(
        self, OrderStore& store, const OrderRecord& order, const Fill& fill, int64_t now_ns
    ) noexcept nogil:
        # A lot or two, in a currency: too small to overflow, which is all that can go wrong in a sum.
        cdef Fixed position = self._position
        cdef Fixed cash = self._cash
        cdef Fixed no_fee
        cdef char id_text[20]
        self._writer.fill(
            order.client_id, store.ids().text(fill.trade_id, id_text), string_view(), fill.price(), fill.amount(),
            fill.quote(), no_fee, True, fill.venue_ns, now_ns, 0
        )
        if order.trade_type == TradeType.buy:
            add(position, fill.amount(), self._position)
            subtract(cash, fill.quote(), self._cash)
        else:
            subtract(position, fill.amount(), self._position)
            add(cash, fill.quote(), self._cash)
        self._filled += 1

    cdef void _on_end(self, const OrderRecord& order, int64_t now_ns) noexcept nogil:
        if order.state == OrderState.failed:
            self._writer.reject(order.client_id, string_view(b"refused"), now_ns)
            self._rejected += 1
        else:
            self._writer.end(order.client_id, order.state, order.executed_base(), order.executed_quote(), now_ns)


cdef void on_order_event(void* context, OrderStore& store, const OrderEvent& event) noexcept nogil:
    """A listener of the tracker: each event once, in their order, an end after the fills."""
    (<ImbalanceStrategy>context)._on_event(store, event)
