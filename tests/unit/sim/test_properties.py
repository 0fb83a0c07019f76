"""Random schedules against the venue: what must hold after every request, and an independent matcher."""

from __future__ import annotations

from decimal import Decimal as D

from hypothesis import given, settings
from hypothesis import strategies as st

from qtxconn.sim.model import Instrument, OrderType, Reject, Side, SimClock, TimeInForce
from qtxconn.sim.venue import Venue

S = "BTCUSDT"
INSTRUMENT = Instrument(
    S, "BTC", "USDT", D("0.10"), D("0.001"), min_notional=D("0"), percent_price=D("0.5"), max_open_orders=1000
)
START = D("100000")

sides = st.sampled_from([Side.BUY, Side.SELL])
prices = st.integers(990, 1010)
quantities = st.integers(1, 60)
requests = st.one_of(
    st.tuples(st.just("limit"), st.integers(0, 2), sides, prices, quantities, st.sampled_from(list(TimeInForce))),
    st.tuples(st.just("market"), st.integers(0, 2), sides, quantities, st.booleans()),
    st.tuples(st.just("cancel"), st.integers(0, 2), st.integers(0, 9)),
    st.tuples(st.just("amend"), st.integers(0, 2), st.integers(0, 9), quantities, prices),
    st.tuples(st.just("ambient"), sides, prices, st.integers(0, 40)),
    st.tuples(st.just("add"), sides, prices, quantities),
    st.tuples(st.just("take"), sides, prices, quantities),
    st.tuples(st.just("print"), sides, prices, quantities),
)


class Schedule:
    """A venue with three accounts, and the checks."""

    def __init__(self, recorder_type) -> None:
        self.clock = SimClock()
        self.venue = Venue([INSTRUMENT], self.clock)
        self.engine = self.venue.engine(S)
        self.accounts = [self.venue.open_account(str(k), "s", balance=START) for k in range(3)]
        self.recorder = recorder_type(self.venue)
        bids, asks, self.applied_id = self.venue.depth(S)
        self.image = {Side.BUY: dict(bids), Side.SELL: dict(asks)}
        self.updates_applied = 0

    def run(self, request: tuple) -> None:
        self.clock.ns += 1_000_000
        word, *arguments = request
        try:
            getattr(self, "do_" + word)(*arguments)
        except Reject:
            pass
        self.engine.publish()

    def do_limit(self, who, side, price, quantity, tif) -> None:
        order = self.venue.place_order(
            self.accounts[who], S, side, OrderType.LIMIT, D(quantity) / 1000, D(price) / 10, tif
        )
        if tif is TimeInForce.FOK:
            assert order.status == "FILLED"
        elif tif is TimeInForce.IOC:
            assert not order.is_open
        elif tif is TimeInForce.GTX:
            assert order.status == "NEW"

    def do_market(self, who, side, quantity, reduce_only) -> None:
        account = self.accounts[who]
        self.venue.place_order(account, S, side, OrderType.MARKET, D(quantity) / 1000, reduce_only=reduce_only)

    def do_cancel(self, who, index) -> None:
        orders = self.venue.open_orders(self.accounts[who])
        if orders:
            self.venue.cancel_order(self.accounts[who], S, orders[index % len(orders)].order_id)

    def do_amend(self, who, index, quantity, price) -> None:
        orders = self.venue.open_orders(self.accounts[who])
        if orders:
            order_id = orders[index % len(orders)].order_id
            self.venue.amend_order(self.accounts[who], S, order_id, quantity=D(quantity) / 1000, price=D(price) / 10)

    def do_ambient(self, side, price, quantity) -> None:
        self.engine.set_ambient(side, price, quantity, self.clock.now_ms())

    def do_add(self, side, price, quantity) -> None:
        self.engine.add_ambient(side, price, quantity)

    def do_take(self, side, price, quantity) -> None:
        self.engine.background_order(side, quantity, price)

    def do_print(self, side, price, quantity) -> None:
        before = sum(trade.quantity for trade in self.recorder.trades)
        self.engine.print_trade(side, price, quantity, self.clock.now_ms())
        assert sum(trade.quantity for trade in self.recorder.trades) - before == quantity

    def check(self) -> None:
        self.check_book()
        self.check_depth_updates()
        self.check_orders_and_trades()
        self.check_money()

    def check_book(self) -> None:
        bids, asks = self.engine.bids, self.engine.asks
        assert not (bids.best and asks.best) or bids.best < asks.best
        for book in (bids, asks):
            assert book.best == next(iter(book.prices()), 0)
            for price, level in book.levels.items():
                assert level.total > 0
                assert level.own == sum(order.remaining for order in level.orders.values())
                for order in level.orders.values():
                    assert (order.price, order.side) == (price, book.side)
                    assert order.is_open
        resting = {i for book in (bids, asks) for level in book.levels.values() for i in level.orders}
        assert resting == {i for account in self.accounts for i in account.open_orders}
        top = self.recorder.tickers[-1] if self.recorder.tickers else None
        if top is not None:
            assert (top.bid, top.bid_qty) == (bids.best, bids.total_at(bids.best))
            assert (top.ask, top.ask_qty) == (asks.best, asks.total_at(asks.best))

    def check_depth_updates(self) -> None:
        for update in self.recorder.depths[self.updates_applied :]:
            if self.updates_applied:
                assert update.prev_id == self.recorder.depths[self.updates_applied - 1].last_id
            assert update.prev_id < update.first_id <= update.last_id
            assert self.applied_id <= update.last_id
            for side, levels in ((Side.BUY, update.bids), (Side.SELL, update.asks)):
                assert levels == sorted(levels)
                for price, quantity in levels:
                    if quantity:
                        self.image[side][price] = quantity
                    else:
                        self.image[side].pop(price, None)
            self.updates_applied += 1
        for side in (Side.BUY, Side.SELL):
            assert self.image[side] == dict(self.engine.levels(side, 1000))

    def check_orders_and_trades(self) -> None:
        trades = {trade.trade_id: trade for trade in self.recorder.trades}
        assert len(trades) == len(self.recorder.trades)
        filled: dict[int, list[int]] = {}
        for execution in self.recorder.executions:
            trade = trades[execution.trade_id]
            assert (execution.price, execution.quantity) == (trade.price, trade.quantity)
            bought = execution.order.side is Side.BUY
            assert execution.is_maker == (bought is trade.buyer_is_maker)
            sums = filled.setdefault(execution.order.order_id, [0, 0])
            sums[0] += execution.quantity
            sums[1] += execution.price * execution.quantity
            assert execution.cumulative == sums[0]
        for order, _, _ in self.recorder.orders:
            assert [order.filled, order.filled_quote] == filled.get(order.order_id, [0, 0])
            assert 0 <= order.filled <= order.quantity
            assert (order.status == "FILLED") == (order.filled == order.quantity)

    def check_money(self) -> None:
        mark = self.venue.mark_price(S)
        for account in self.accounts:
            mine = [e for e in self.recorder.executions if e.order.account is account]
            cash = -sum((INSTRUMENT.value(e.price * e.quantity) * int(e.order.side) for e in mine), D(0))
            fees = sum((e.fee for e in mine), D(0))
            held = sum(int(e.order.side) * e.quantity for e in mine)
            position = account.position(INSTRUMENT)
            assert position.amount == held
            assert account.fees_paid == fees
            assert account.wallet_balance == START + sum((e.realized_pnl for e in mine), D(0)) - fees
            assert account.wallet_balance + position.unrealized_pnl(mark) == (
                START - fees + cash + mark * held * INSTRUMENT.lot_size
            )
            for side, reserved in ((Side.BUY, position.open_bids), (Side.SELL, position.open_asks)):
                orders = [o for o in account.open_orders.values() if o.side is side and not o.reduce_only]
                assert reserved == sum(o.price * o.remaining for o in orders)
            assert self.venue.available_balance(account) >= 0


@settings(max_examples=150)
@given(sequence=st.lists(requests, max_size=60))
def test_everything_holds_after_every_request(recorder_type, sequence):
    schedule = Schedule(recorder_type)
    for request in sequence:
        schedule.run(request)
        schedule.check()


def naive_fills(orders: list[tuple[int, Side, int, int]]) -> list[tuple[int, int, int, int]]:
    """(maker, taker, price, lots) by scanning one list for the best price, then the earliest."""
    resting: list[list] = []
    fills = []
    for number, side, price, left in orders:
        while left:
            others = [r for r in resting if r[1] is not side and (r[2] - price) * side <= 0]
            if not others:
                break
            maker = min(others, key=lambda r: (r[2] * side, r[0]))
            step = min(left, maker[3])
            fills.append((maker[0], number, maker[2], step))
            left -= step
            maker[3] -= step
            if not maker[3]:
                resting.remove(maker)
        if left:
            resting.append([number, side, price, left])
    return fills


@settings(max_examples=150)
@given(orders=st.lists(st.tuples(sides, prices, quantities), max_size=60))
def test_fills_equal_those_of_a_naive_price_time_matcher(recorder_type, orders):
    venue = Venue([INSTRUMENT], SimClock())
    # An account an order: so that none meets itself.
    recorder = recorder_type(venue)
    for number, (side, price, quantity) in enumerate(orders):
        account = venue.open_account(str(number), "s")
        venue.place_order(
            account, S, side, OrderType.LIMIT, D(quantity) / 1000, D(price) / 10, client_order_id=str(number)
        )
    ids = [int(e.order.client_order_id) for e in recorder.executions]
    executions = recorder.executions
    fills = [(ids[k], ids[k + 1], executions[k].price, executions[k].quantity) for k in range(0, len(executions), 2)]
    assert all(e.is_maker is (k % 2 == 0) for k, e in enumerate(executions))
    assert fills == naive_fills([(n, *order) for n, order in enumerate(orders)])
