"""The simulated venue: accounts, symbols, filters and orders, in no venue's dialect.

    venue = Venue([instrument], clock)
    account = venue.open_account("key", "secret", balance=Decimal("100000"))
    order = venue.place_order(account, "BTCUSDT", Side.BUY, OrderType.LIMIT, Decimal("0.010"),
    Decimal("61800.1"))

Requests work to the end and return with the immediate outcome; listeners are called on the way (see
`engine.py` for the order of events). Amounts come in as `Decimal` base and quote, orders go out in ticks
and lots.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal

from qtxconn.sim.account import Account, SimPosition, fee_of
from qtxconn.sim.engine import MatchingEngine
from qtxconn.sim.model import (
    AccountListener,
    BookTicker,
    Execution,
    ExecutionType,
    ExpireReason,
    Instrument,
    Levels,
    MarketListener,
    OrderStatus,
    OrderType,
    Reject,
    RejectReason,
    Side,
    SimOrder,
    TimeInForce,
    VenueClock,
)

CLIENT_ID = re.compile(r"[.A-Za-z0-9:/_-]{1,36}")
FUNDING_INTERVAL_MS = 8 * 3_600_000
FUNDING_RATE = Decimal("0.0001")
"""Fraction per interval: the interest component alone (0.01 % per 8 h), since the index follows the mark."""
INDEX_BASIS = Decimal("0.0002")
"""The index price is the mark price less this fraction."""
PRICE_STEP = Decimal("1e-8")


class Venue:
    """All of it; the only object that changes accounts."""

    def __init__(self, instruments: Iterable[Instrument], clock: VenueClock) -> None:
        self.clock = clock
        self.instruments = {instrument.symbol: instrument for instrument in instruments}
        # Ids start at the time in microseconds: a venue that is started again does not give an id twice.
        first_id = clock.now_ms() * 1000
        self.engines = {
            symbol: MatchingEngine(instrument, clock, self, first_id) for symbol, instrument in self.instruments.items()
        }
        self._accounts: dict[str, Account] = {}
        self._account_listeners: list[AccountListener] = []
        self._next_order_id = first_id
        self._recorded_marks: dict[str, Decimal] = {}

    # -- accounts ----------------------------------------------------------------------------------------

    def open_account(
        self, api_key: str, api_secret: str, passphrase: str = "", balance: Decimal = Decimal("100000")
    ) -> Account:
        """A new account with `balance` quote in its wallet. Raises ValueError if the key exists."""
        if api_key in self._accounts:
            raise ValueError(f"there is an account with the key {api_key!r} already")
        quote = next(iter(self.instruments.values())).quote
        account = self._accounts[api_key] = Account(api_key, api_secret, passphrase, balance, quote)
        return account

    def account(self, api_key: str) -> Account | None:
        return self._accounts.get(api_key)

    @property
    def accounts(self) -> list[Account]:
        return list(self._accounts.values())

    def add_account_listener(self, listener: AccountListener) -> None:
        self._account_listeners.append(listener)

    def available_balance(self, account: Account) -> Decimal:
        """Quote that new orders may use."""
        return account.available_balance(self._marks(account))

    def unrealized_pnl(self, account: Account) -> Decimal:
        """Quote, at mark prices."""
        return account.unrealized_pnl(self._marks(account))

    def initial_margin(self, account: Account) -> Decimal:
        """Quote held for positions and open orders."""
        return account.initial_margin(self._marks(account))

    def _marks(self, account: Account) -> dict[str, Decimal]:
        return {symbol: self.mark_price(symbol) for symbol in account.positions}

    # -- market data -------------------------------------------------------------------------------------

    def add_market_listener(self, listener: MarketListener) -> None:
        for engine in self.engines.values():
            engine.listeners.append(listener)

    def instrument(self, symbol: str) -> Instrument:
        """Raises Reject UNKNOWN_SYMBOL."""
        found = self.instruments.get(symbol)
        if found is None:
            raise Reject(RejectReason.UNKNOWN_SYMBOL, symbol)
        return found

    def engine(self, symbol: str) -> MatchingEngine:
        """Raises Reject UNKNOWN_SYMBOL."""
        self.instrument(symbol)
        return self.engines[symbol]

    def depth(self, symbol: str, limit: int = 1000) -> tuple[Levels, Levels, int]:
        """(bids, asks, last update id), best first; the id stitches with the depth updates."""
        return self.engine(symbol).snapshot(limit)

    def ticker(self, symbol: str) -> BookTicker:
        return self.engine(symbol).ticker()

    def mark_price(self, symbol: str) -> Decimal:
        """Quote: what `set_mark_price` was told last, else the middle of the book, or its one side, or 0."""
        recorded = self._recorded_marks.get(symbol)
        if recorded is not None:
            return recorded
        engine = self.engine(symbol)
        bid, ask = engine.bids.best, engine.asks.best
        if bid and ask:
            return engine.instrument.tick_size * (bid + ask) / 2
        return engine.instrument.tick_size * (bid or ask or engine.last_trade_price)

    def set_mark_price(self, symbol: str, price: Decimal | None) -> None:
        """Fix the mark price (quote), or let it follow the book again (None)."""
        self.instrument(symbol)
        if price is None:
            self._recorded_marks.pop(symbol, None)
        else:
            self._recorded_marks[symbol] = price

    def index_price(self, symbol: str) -> Decimal:
        """Quote: the mark price less a fixed basis."""
        return (self.mark_price(symbol) * (1 - INDEX_BASIS)).quantize(PRICE_STEP, ROUND_HALF_EVEN)

    def funding_rate(self, symbol: str) -> Decimal:
        """Fraction of notional that longs pay shorts per interval."""
        self.instrument(symbol)
        return FUNDING_RATE

    def next_funding_ms(self, symbol: str) -> int:
        """The next multiple of 8 h UTC."""
        self.instrument(symbol)
        return (self.clock.now_ms() // FUNDING_INTERVAL_MS + 1) * FUNDING_INTERVAL_MS

    def apply_funding(self, symbol: str, rate: Decimal | None = None) -> None:
        """Longs pay `rate` times notional at mark price, shorts receive it.

        Rounded half-even to 1e-8 quote.
        """
        rate = self.funding_rate(symbol) if rate is None else rate
        mark = self.mark_price(symbol)
        for account in self._accounts.values():
            position = account.positions.get(symbol)
            if position is None or position.amount == 0:
                continue
            payment = (-position.quantity * mark * rate).quantize(PRICE_STEP, ROUND_HALF_EVEN)
            account.wallet_balance += payment
            account.funding_received += payment
            self._report_account(account, "FUNDING_FEE", position)

    # -- orders ------------------------------------------------------------------------------------------

    def place_order(
        self,
        account: Account,
        symbol: str,
        side: Side,
        type: OrderType,
        quantity: Decimal,
        price: Decimal | None = None,
        tif: TimeInForce = TimeInForce.GTC,
        client_order_id: str | None = None,
        reduce_only: bool = False,
    ) -> SimOrder:
        """Accept and match an order; returns it with its immediate outcome. A Reject changes nothing.

        MARKET orders are IOC and reach as far as `percent_price` allows. Without a client id the order gets
        "v<order id>". A reduce-only order must be no larger than the position it closes.
        """
        engine = self.engine(symbol)
        instrument = engine.instrument
        side, type = Side(side), OrderType(type)
        position = account.position(instrument)
        lots = instrument.quantity_to_lots(quantity)
        if type is OrderType.MARKET:
            if price is not None:
                raise Reject(RejectReason.INVALID_ORDER, "a MARKET order has no price")
            tif, ticks = TimeInForce.IOC, 0
            reference = engine.side(side.opposite).best
            if reference == 0:
                raise Reject(RejectReason.NO_LIQUIDITY)
        else:
            if price is None:
                raise Reject(RejectReason.PRICE_MISSING)
            tif = TimeInForce(tif)
            ticks = reference = instrument.price_to_ticks(price)
        self._check_client_id(account, symbol, client_order_id)
        self._check_filters(instrument, side, type, lots, ticks, reference, reduce_only)
        if len([o for o in account.open_orders.values() if o.symbol == symbol]) >= instrument.max_open_orders:
            raise Reject(RejectReason.TOO_MANY_ORDERS, f"{instrument.max_open_orders} open orders at most")
        if reduce_only and not position.can_reduce(side, lots):
            raise Reject(RejectReason.REDUCE_ONLY)
        crosses = engine.side(side.opposite).reaches(reference)
        if tif is TimeInForce.GTX and crosses:
            raise Reject(RejectReason.POST_ONLY_WOULD_CROSS)
        if not reduce_only:
            self._check_margin(account, position, side, reference * lots)
        order_id = self._next_order_id
        now_ms = self.clock.now_ms()
        order = SimOrder(
            order_id,
            account,
            client_order_id if client_order_id is not None else f"v{order_id}",
            symbol,
            side,
            type,
            tif,
            ticks,
            lots,
            reduce_only,
            created_ms=now_ms,
            updated_ms=now_ms,
        )
        if tif is TimeInForce.FOK and engine.fillable(order) < lots:
            raise Reject(RejectReason.FOK_NOT_FILLABLE)
        self._next_order_id += 1
        account.add_open(order)
        self._reserve(order, order.remaining)
        self._report_order(order, ExecutionType.NEW)
        self._run(engine, order)
        engine.publish()
        return order

    def cancel_order(
        self, account: Account, symbol: str, order_id: int | None = None, client_order_id: str | None = None
    ) -> SimOrder:
        """Cancel an open order by id or client id; returns it. Raises Reject UNKNOWN_ORDER."""
        order = self._open_order(account, symbol, order_id, client_order_id)
        self._cancel(order)
        self.engines[symbol].publish()
        return order

    def cancel_all(self, account: Account, symbol: str) -> list[SimOrder]:
        """Cancel the account's open orders in `symbol`, oldest first; returns them."""
        engine = self.engine(symbol)
        orders = [order for order in account.open_orders.values() if order.symbol == symbol]
        for order in orders:
            self._cancel(order)
        engine.publish()
        return orders

    def amend_order(
        self,
        account: Account,
        symbol: str,
        order_id: int | None = None,
        client_order_id: str | None = None,
        *,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
    ) -> SimOrder:
        """Change quantity (base, in total) and/or price (quote) of an open LIMIT order, under the same id.

        A lower quantity at the same price keeps the place in the queue; any other change goes to its end,
        and may take. A quantity not above what is filled cancels the order. Raises Reject UNKNOWN_ORDER,
        AMEND_NO_CHANGE, or as `place_order` does; the order then stays as it was.
        """
        order = self._open_order(account, symbol, order_id, client_order_id)
        engine = self.engines[symbol]
        instrument = engine.instrument
        lots = order.quantity if quantity is None else instrument.quantity_to_lots(quantity)
        ticks = order.price if price is None else instrument.price_to_ticks(price)
        if lots == order.quantity and ticks == order.price:
            raise Reject(RejectReason.AMEND_NO_CHANGE)
        if lots <= order.filled:
            self._cancel(order)
            engine.publish()
            return order
        self._check_filters(instrument, order.side, order.type, lots, ticks, ticks, order.reduce_only)
        position = account.position(instrument)
        left = lots - order.filled
        if order.reduce_only and not position.can_reduce(order.side, left):
            raise Reject(RejectReason.REDUCE_ONLY)
        if order.tif is TimeInForce.GTX and engine.side(order.side.opposite).reaches(ticks):
            raise Reject(RejectReason.POST_ONLY_WOULD_CROSS)
        if not order.reduce_only:
            self._check_margin(account, position, order.side, ticks * left - order.price * order.remaining)
        self._reserve(order, -order.remaining)
        order.updated_ms = self.clock.now_ms()
        if ticks == order.price and lots < order.quantity:
            engine.reduce(order, lots)
            self._reserve(order, order.remaining)
            self._report_order(order, ExecutionType.AMENDMENT)
        else:
            engine.remove(order)
            order.price, order.quantity = ticks, lots
            self._reserve(order, order.remaining)
            self._report_order(order, ExecutionType.AMENDMENT)
            self._run(engine, order)
        engine.publish()
        return order

    def query_order(
        self, account: Account, symbol: str, order_id: int | None = None, client_order_id: str | None = None
    ) -> SimOrder:
        """An order, open or in the bounded history. Raises Reject NO_SUCH_ORDER."""
        self.instrument(symbol)
        order = account.find(symbol, order_id, client_order_id)
        if order is None:
            raise Reject(RejectReason.NO_SUCH_ORDER)
        return order

    def open_orders(self, account: Account, symbol: str | None = None) -> list[SimOrder]:
        """Open orders, oldest first."""
        if symbol is not None:
            self.instrument(symbol)
        return [order for order in account.open_orders.values() if symbol in (None, order.symbol)]

    def all_orders(self, account: Account, symbol: str, from_id: int | None = None, limit: int = 500) -> list[SimOrder]:
        """Open and finished orders, oldest first.

        The first `limit` from order id `from_id` on, or without it the last `limit`.
        """
        self.instrument(symbol)
        found = [order for order in account.all_orders(symbol) if from_id is None or order.order_id >= from_id]
        return found[-limit:] if from_id is None else found[:limit]

    def executions(
        self,
        account: Account,
        symbol: str,
        order_id: int | None = None,
        from_id: int | None = None,
        limit: int = 500,
    ) -> list[Execution]:
        """Fills, oldest first.

        The first `limit` from trade id `from_id` on, or without it the last `limit`.
        """
        self.instrument(symbol)
        found = [
            execution
            for execution in account.executions
            if execution.order.symbol == symbol
            and (order_id is None or execution.order.order_id == order_id)
            and (from_id is None or execution.trade_id >= from_id)
        ]
        return found[-limit:] if from_id is None else found[:limit]

    # -- checks ------------------------------------------------------------------------------------------

    def _check_client_id(self, account: Account, symbol: str, client_order_id: str | None) -> None:
        if client_order_id is None:
            return
        if CLIENT_ID.fullmatch(client_order_id) is None:
            raise Reject(RejectReason.CLIENT_ID_INVALID, client_order_id[:64])
        if account.find_open(symbol, None, client_order_id) is not None:
            raise Reject(RejectReason.DUPLICATE_CLIENT_ID, client_order_id)

    def _check_filters(
        self,
        instrument: Instrument,
        side: Side,
        type: OrderType,
        lots: int,
        ticks: int,
        reference: int,
        reduce_only: bool,
    ) -> None:
        most = instrument.market_max_qty if type is OrderType.MARKET else instrument.max_qty
        if lots < instrument.min_qty:
            raise Reject(RejectReason.QTY_TOO_SMALL, f"at least {instrument.lots_to_text(instrument.min_qty)}")
        if lots > most:
            raise Reject(RejectReason.QTY_TOO_LARGE, f"at most {instrument.lots_to_text(most)}")
        if type is OrderType.LIMIT:
            bound = self._price_bound(instrument, side)
            if bound and (ticks - bound) * side > 0:
                raise Reject(RejectReason.PERCENT_PRICE, instrument.ticks_to_text(bound))
        if not reduce_only and instrument.value(reference * lots) < instrument.min_notional:
            raise Reject(RejectReason.NOTIONAL_TOO_SMALL, f"at least {instrument.min_notional}")

    def _price_bound(self, instrument: Instrument, side: Side) -> int:
        """The worst price (ticks) an order on `side` may have; 0 = none is known yet."""
        factor = 1 + instrument.percent_price * side
        return int(self.mark_price(instrument.symbol) * factor / instrument.tick_size)

    def _check_margin(self, account: Account, position: SimPosition, side: Side, added: int) -> None:
        """Refuse what needs more margin than there is. What lowers the margin always passes."""
        mark = self.mark_price(position.symbol)
        bids, asks = (added, 0) if side is Side.BUY else (0, added)
        more = position.margin_notional(mark, bids, asks) - position.margin_notional(mark)
        if more > 0 and more / account.leverage_of(position.symbol) > self.available_balance(account):
            raise Reject(RejectReason.INSUFFICIENT_MARGIN)

    # -- the life of an order ----------------------------------------------------------------------------

    def _open_order(self, account: Account, symbol: str, order_id: int | None, client_order_id: str | None) -> SimOrder:
        self.instrument(symbol)
        order = account.find_open(symbol, order_id, client_order_id)
        if order is None:
            raise Reject(RejectReason.UNKNOWN_ORDER)
        return order

    def _run(self, engine: MatchingEngine, order: SimOrder) -> None:
        """Match a new or re-queued order, then rest it or end it."""
        limit = order.price or max(1, self._price_bound(engine.instrument, order.side))
        stopped = engine.match(order, limit)
        if not order.remaining:
            return
        if stopped is not ExpireReason.NONE:
            self._expire(order, stopped)
        elif order.tif in (TimeInForce.IOC, TimeInForce.FOK):
            self._expire(order, ExpireReason.UNFILLED)
        else:
            engine.rest(order)

    def _cancel(self, order: SimOrder) -> None:
        self.engines[order.symbol].remove(order)
        self._end(order, OrderStatus.CANCELED, ExecutionType.CANCELED)

    def _expire(self, order: SimOrder, reason: ExpireReason) -> None:
        order.expire_reason = reason
        self._end(order, OrderStatus.EXPIRED, ExecutionType.EXPIRED)

    def _end(self, order: SimOrder, status: OrderStatus, execution_type: ExecutionType) -> None:
        self._reserve(order, -order.remaining)
        order.status = status
        order.updated_ms = self.clock.now_ms()
        order.account.move_to_history(order)
        self._report_order(order, execution_type)

    @staticmethod
    def _reserve(order: SimOrder, lots: int) -> None:
        """Count `lots` of an open order into (or, negative, out of) what margin is held for."""
        if order.reduce_only or order.type is OrderType.MARKET:
            return
        position = order.account.positions[order.symbol]
        if order.side is Side.BUY:
            position.open_bids += order.price * lots
        else:
            position.open_asks += order.price * lots

    def on_fill(self, order: SimOrder, price: int, quantity: int, is_maker: bool, trade_id: int) -> None:
        """The engine has filled `quantity` lots of `order` at `price` ticks: settle and report it."""
        account = order.account
        instrument = self.instruments[order.symbol]
        position = account.position(instrument)
        fee = fee_of(instrument, price, quantity, is_maker)
        profit = position.apply_fill(order.side, price, quantity)
        position.updated_ms = order.updated_ms
        account.wallet_balance += profit - fee
        account.fees_paid += fee
        self._reserve(order, -quantity)
        execution = Execution(
            order,
            trade_id,
            price,
            quantity,
            is_maker,
            fee,
            instrument.quote,
            profit,
            order.updated_ms,
            order.filled,
        )
        account.executions.append(execution)
        if order.status is OrderStatus.FILLED:
            account.move_to_history(order)
        self._report_order(order, ExecutionType.TRADE, execution)
        self._report_account(account, "ORDER", position)
        self._expire_useless_reductions(account, position, order)

    def _expire_useless_reductions(self, account: Account, position: SimPosition, current: SimOrder) -> None:
        """End resting reduce-only orders that would now do more than close the position."""
        engine = self.engines[position.symbol]
        for other in [o for o in account.open_orders.values() if o.reduce_only and o.symbol == position.symbol]:
            if other is not current and not position.can_reduce(other.side, other.remaining):
                engine.remove(other)
                self._expire(other, ExpireReason.REDUCE_ONLY)

    # -- reporting ---------------------------------------------------------------------------------------

    def _report_order(self, order: SimOrder, execution_type: ExecutionType, execution: Execution | None = None) -> None:
        for listener in self._account_listeners:
            listener.on_order(order.account, order, execution_type, execution)

    def _report_account(self, account: Account, reason: str, position: SimPosition) -> None:
        assets = [(account.quote, account.wallet_balance)]
        for listener in self._account_listeners:
            listener.on_account(account, reason, assets, [position])
