"""The simulated venue: accounts, symbols, filters and orders, in no venue's dialect.

    venue = Venue([instrument], clock)
    account = venue.open_account("key", "secret", balance=Decimal("100000"))
    order = venue.place_order(account, "BTCUSDT", Side.BUY, OrderType.LIMIT, Decimal("0.010"),
    Decimal("61800.1"))

Requests work to the end and return with the immediate outcome; listeners are called on the way (see
`engine.py` for the order of events). Amounts come in as `Decimal` base and quote, orders go out in ticks
and lots. What time and price bring about (funding, expiry dates, dead-man's switches, conditional orders,
liquidations) happens in `run_due`, which a driver calls often.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal

from qtxconn.sim.account import Account, MarginChange, SimPosition, fee_of
from qtxconn.sim.conditional import ConditionalOrders
from qtxconn.sim.engine import MatchingEngine
from qtxconn.sim.listeners import AccountListener, MarketListener, NoticeListener
from qtxconn.sim.model import (
    Amendment,
    BookTicker,
    Execution,
    ExecutionType,
    ExpireReason,
    FundingPoint,
    IncomeType,
    Instrument,
    Levels,
    OrderStatus,
    OrderType,
    PositionSide,
    Reject,
    RejectReason,
    SelfTradePrevention,
    Side,
    SimOrder,
    TimeInForce,
    VenueClock,
    closes_leg,
)
from qtxconn.sim.risk import RiskControl

CLIENT_ID = re.compile(r"[.A-Za-z0-9:/_-]{1,36}")
FUNDING_INTERVAL_MS = 8 * 3_600_000
FUNDING_RATE = Decimal("0.0001")
"""Fraction per interval: the interest component alone (0.01 % per 8 h), since the index follows the mark."""
INDEX_BASIS = Decimal("0.0002")
"""The index price is the mark price less this fraction."""
PRICE_STEP = Decimal("1e-8")
FUNDING_POINTS_KEPT = 1_000


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
        self._notice_listeners: list[NoticeListener] = []
        self._next_order_id = first_id
        self._next_record_id = first_id
        self._recorded_marks: dict[str, Decimal] = {}
        self._dated: dict[int, SimOrder] = {}  # open GTD orders
        self._switches: dict[tuple[str, str], int] = {}  # (key, symbol) -> when its orders are cancelled, ms
        self._funding_due_ms = self._funding_time_after(clock.now_ms())
        self.funding_history: deque[FundingPoint] = deque(maxlen=FUNDING_POINTS_KEPT)
        """Oldest first."""
        self.conditional = ConditionalOrders(self)
        self.risk = RiskControl(self)

    # -- accounts ----------------------------------------------------------------------------------------

    def open_account(
        self, api_key: str, api_secret: str, passphrase: str = "", balance: Decimal = Decimal("100000")
    ) -> Account:
        """A new account with `balance` quote in its wallet. Raises ValueError if the key exists."""
        if api_key in self._accounts:
            raise ValueError(f"there is an account with the key {api_key!r} already")
        quote = next(iter(self.instruments.values())).quote
        account = self._accounts[api_key] = Account(api_key, api_secret, passphrase, Decimal(0), quote)
        account.book_income(self.next_record_id(), "", IncomeType.TRANSFER, balance, self.clock.now_ms())
        return account

    def account(self, api_key: str) -> Account | None:
        return self._accounts.get(api_key)

    @property
    def accounts(self) -> list[Account]:
        return list(self._accounts.values())

    def add_account_listener(self, listener: AccountListener) -> None:
        self._account_listeners.append(listener)

    def add_notice_listener(self, listener: NoticeListener) -> None:
        self._notice_listeners.append(listener)

    @property
    def notice_listeners(self) -> list[NoticeListener]:
        return self._notice_listeners

    def next_record_id(self) -> int:
        """A fresh id for an income record, an amendment or a conditional order."""
        self._next_record_id += 1
        return self._next_record_id

    def set_leverage(self, account: Account, symbol: str, leverage: int) -> None:
        """Raises Reject LEVERAGE_RANGE, or LEVERAGE_TOO_HIGH where the position is too large for it."""
        instrument = self.instrument(symbol)
        if not 1 <= leverage <= instrument.brackets[0].leverage:
            raise Reject(RejectReason.LEVERAGE_RANGE, f"1 to {instrument.brackets[0].leverage}")
        mark = self.mark_price(symbol)
        if any(p.notional(mark) > instrument.max_notional(leverage) for p in account.legs(instrument)):
            raise Reject(RejectReason.LEVERAGE_TOO_HIGH)
        account.leverage[symbol] = leverage
        for listener in self._notice_listeners:
            listener.on_leverage(account, symbol, leverage)

    def set_position_mode(self, account: Account, hedge: bool) -> None:
        """Raises Reject NO_CHANGE, OPEN_ORDERS_EXIST or OPEN_POSITION_EXISTS."""
        if account.hedge_mode is hedge:
            raise Reject(RejectReason.NO_CHANGE)
        if account.open_orders or self.conditional.open(account):
            raise Reject(RejectReason.OPEN_ORDERS_EXIST)
        if any(position.amount for position in account.positions.values()):
            raise Reject(RejectReason.OPEN_POSITION_EXISTS)
        account.hedge_mode = hedge

    def set_isolated(self, account: Account, symbol: str, isolated: bool) -> None:
        """Raises Reject NO_CHANGE, OPEN_ORDERS_EXIST or OPEN_POSITION_EXISTS."""
        instrument = self.instrument(symbol)
        if (symbol in account.isolated) is isolated:
            raise Reject(RejectReason.NO_CHANGE)
        if self.open_orders(account, symbol):
            raise Reject(RejectReason.OPEN_ORDERS_EXIST)
        if any(position.amount for position in account.legs(instrument)):
            raise Reject(RejectReason.OPEN_POSITION_EXISTS)
        (account.isolated.add if isolated else account.isolated.discard)(symbol)

    def move_margin(self, account: Account, symbol: str, position_side: PositionSide, amount: Decimal) -> None:
        """Move `amount` quote into (or, negative, out of) an isolated position.

        Raises Reject NOT_ISOLATED, POSITION_SIDE, INSUFFICIENT_MARGIN, or ISOLATED_MARGIN_TOO_SMALL where less than
        the initial margin would stay.
        """
        position = self._leg(account, self.instrument(symbol), position_side)
        if symbol not in account.isolated or not position.amount:
            raise Reject(RejectReason.NOT_ISOLATED)
        mark = self.mark_price(symbol)
        if amount > self.available_balance(account):
            raise Reject(RejectReason.INSUFFICIENT_MARGIN)
        left = position.isolated_wallet + min(Decimal(0), position.unrealized_pnl(mark)) + amount
        if amount < 0 and left < account.position_margin(position, mark):
            raise Reject(RejectReason.ISOLATED_MARGIN_TOO_SMALL)
        position.isolated_wallet += amount
        account.margin_changes.append(MarginChange(symbol, position_side, amount, self.clock.now_ms()))
        self._report_account(account, "MARGIN_TRANSFER", position)

    def available_balance(self, account: Account) -> Decimal:
        """Quote that new orders may use."""
        return account.available_balance(self._marks(account))

    def unrealized_pnl(self, account: Account) -> Decimal:
        """Quote, at mark prices."""
        return account.unrealized_pnl(self._marks(account))

    def initial_margin(self, account: Account) -> Decimal:
        """Quote held for positions and open orders."""
        return account.initial_margin(self._marks(account))

    def maintenance_margin(self, account: Account) -> Decimal:
        """Quote that the positions in cross margin must keep."""
        return account.maintenance_margin(self._marks(account))

    def _marks(self, account: Account) -> dict[str, Decimal]:
        return {symbol: self.mark_price(symbol) for symbol, _ in account.positions}

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
        return self._funding_time_after(self.clock.now_ms())

    @staticmethod
    def _funding_time_after(now_ms: int) -> int:
        return (now_ms // FUNDING_INTERVAL_MS + 1) * FUNDING_INTERVAL_MS

    def apply_funding(self, symbol: str, rate: Decimal | None = None, time_ms: int | None = None) -> None:
        """Longs pay `rate` times notional at mark price, shorts receive it; on record as of `time_ms` (now).

        Rounded half-even to 1e-8 quote.
        """
        instrument = self.instrument(symbol)
        rate = self.funding_rate(symbol) if rate is None else rate
        time_ms = self.clock.now_ms() if time_ms is None else time_ms
        mark = self.mark_price(symbol)
        self.funding_history.append(FundingPoint(symbol, rate, mark, time_ms))
        for account in self._accounts.values():
            for position in account.legs(instrument):
                if position.amount == 0:
                    continue
                payment = (-position.quantity * mark * rate).quantize(PRICE_STEP, ROUND_HALF_EVEN)
                account.book_income(self.next_record_id(), symbol, IncomeType.FUNDING_FEE, payment, time_ms)
                account.funding_received += payment
                if symbol in account.isolated:
                    position.isolated_wallet += payment
                self._report_account(account, "FUNDING_FEE", position)

    # -- what is due ---------------------------------------------------------------------------------------

    def next_due_ms(self) -> int:
        """When time alone next makes something due. What price makes due may come before it."""
        dates_ms = (order.good_till_ms for order in self._dated.values())
        return min((self._funding_due_ms, *self._switches.values(), *dates_ms, *self.conditional.dates_ms()))

    def run_due(self) -> None:
        """Do what time and price have made due. Each funding time is settled exactly once, however late."""
        now_ms = self.clock.now_ms()
        while self._funding_due_ms <= now_ms:
            for symbol in self.instruments:
                self.apply_funding(symbol, time_ms=self._funding_due_ms)
            self._funding_due_ms += FUNDING_INTERVAL_MS
        self.expire_dated(now_ms)
        for key in [key for key, due_ms in self._switches.items() if due_ms <= now_ms]:
            del self._switches[key]
            self.cancel_all(self._accounts[key[0]], key[1])
        self.conditional.run_due()
        self.risk.run_due()

    def expire_dated(self, now_ms: int | None = None) -> None:
        """End the GTD orders whose date is not after `now_ms`; without it, all of them."""
        for order in [order for order in self._dated.values() if now_ms is None or order.good_till_ms <= now_ms]:
            engine = self.engines[order.symbol]
            engine.remove(order)
            self.on_expired(order, ExpireReason.GOOD_TILL_DATE)
            engine.publish()

    def set_dead_mans_switch(self, account: Account, symbol: str, countdown_ms: int) -> None:
        """Cancel the account's orders in `symbol` in `countdown_ms` unless told anew before; 0 calls it off."""
        self.instrument(symbol)
        key = (account.api_key, symbol)
        self._switches.pop(key, None)
        if countdown_ms:
            self._switches[key] = self.clock.now_ms() + countdown_ms

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
        *,
        position_side: PositionSide = PositionSide.BOTH,
        self_trade: SelfTradePrevention = SelfTradePrevention.EXPIRE_TAKER,
        good_till_ms: int = 0,
        price_match: str = "",
        close_position: bool = False,
        dry_run: bool = False,
    ) -> SimOrder:
        """Accept and match an order; returns it with its immediate outcome. A Reject changes nothing.

        MARKET orders are IOC and reach as far as `percent_price` allows. Without a client id the order gets
        "v<order id>". An order that may only close must be no larger than the position it closes. With `dry_run`
        it is checked and returned, and nothing happens.
        """
        engine = self.engine(symbol)
        instrument = engine.instrument
        side, type = Side(side), OrderType(type)
        position = self._leg(account, instrument, position_side)
        if reduce_only and account.hedge_mode:
            raise Reject(RejectReason.REDUCE_ONLY_IN_HEDGE_MODE)
        only_reduces = reduce_only or closes_leg(position_side, side)
        lots = instrument.quantity_to_lots(quantity)
        now_ms = self.clock.now_ms()
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
        if tif is TimeInForce.GTD and good_till_ms <= now_ms:
            raise Reject(RejectReason.GOOD_TILL_DATE)
        self._check_client_id(account, symbol, client_order_id)
        self._check_filters(instrument, side, type, lots, ticks, reference, only_reduces)
        if len([o for o in account.open_orders.values() if o.symbol == symbol]) >= instrument.max_open_orders:
            raise Reject(RejectReason.TOO_MANY_ORDERS, f"{instrument.max_open_orders} open orders at most")
        if only_reduces and not position.can_reduce(side, lots):
            raise Reject(RejectReason.REDUCE_ONLY)
        crosses = engine.side(side.opposite).reaches(reference)
        if tif is TimeInForce.GTX and crosses:
            raise Reject(RejectReason.POST_ONLY_WOULD_CROSS)
        if not only_reduces:
            self._check_margin(account, position, side, reference * lots)
        order_id = self._next_order_id
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
            position_side,
            self_trade,
            good_till_ms if tif is TimeInForce.GTD else 0,
            price_match,
            close_position,
            created_ms=now_ms,
            updated_ms=now_ms,
        )
        if tif is TimeInForce.FOK and engine.fillable(order) < lots:
            raise Reject(RejectReason.FOK_NOT_FILLABLE)
        if not dry_run:
            self._next_order_id += 1
            self._accept(engine, order)
        return order

    def place_forced_order(
        self, position: SimPosition, account: Account, prefix: str, fill_price: int = 0, lots: int = 0
    ) -> SimOrder:
        """Close `position`, or `lots` of it, with no check: in the book as far as it reaches, or past the book at
        `fill_price` (ticks). The client id is `prefix` and the order id.
        """
        engine = self.engines[position.symbol]
        side = Side.SELL if position.amount > 0 else Side.BUY
        order_id, now_ms = self._next_order_id, self.clock.now_ms()
        self._next_order_id += 1
        order = SimOrder(
            order_id,
            account,
            f"{prefix}{order_id}",
            position.symbol,
            side,
            OrderType.LIMIT,
            TimeInForce.IOC,
            fill_price or max(1, self._price_bound(engine.instrument, side)),
            lots or abs(position.amount),
            reduce_only=True,
            position_side=position.position_side,
            self_trade=SelfTradePrevention.EXPIRE_MAKER,
            created_ms=now_ms,
            updated_ms=now_ms,
        )
        account.forced_orders.append(order)
        if fill_price:
            account.add_open(order)
            self._report_order(order, ExecutionType.NEW)
            engine.fill_outside(order, fill_price)
        else:
            self._accept(engine, order)
        for listener in self._notice_listeners:
            listener.on_forced_order(order)
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
        self._check_filters(instrument, order.side, order.type, lots, ticks, ticks, order.only_reduces)
        position = account.position(instrument, order.position_side)
        left = lots - order.filled
        if order.only_reduces and not position.can_reduce(order.side, left):
            raise Reject(RejectReason.REDUCE_ONLY)
        if order.tif is TimeInForce.GTX and engine.side(order.side.opposite).reaches(ticks):
            raise Reject(RejectReason.POST_ONLY_WOULD_CROSS)
        if not order.only_reduces:
            self._check_margin(account, position, order.side, ticks * left - order.price * order.remaining)
        self._reserve(order, -order.remaining)
        order.updated_ms = self.clock.now_ms()
        number = 1 + sum(1 for amendment in account.amendments if amendment.order is order)
        changes = (order.price, ticks), (order.quantity, lots)
        account.amendments.append(Amendment(self.next_record_id(), order, number, *changes, order.updated_ms))
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
        every = (order for order in account.orders(symbol) if from_id is None or order.order_id >= from_id)
        found = sorted(every, key=lambda order: order.order_id)
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
        order = None if order_id is None else account.find(symbol, order_id, None)
        if order_id is not None and order is None:
            return []
        left = None if order is None else order.filled
        found: list[Execution] = []
        for execution in reversed(account.executions):  # the newest are what is asked for most
            if execution.order.symbol != symbol:
                continue
            if left == 0 or execution.trade_id < (from_id or 0) or (from_id is None and len(found) == limit):
                break
            if order is None or execution.order is order:
                found.append(execution)
                left = None if left is None else left - execution.quantity
        found.reverse()
        return found[:limit]

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
        only_reduces: bool,
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
        if not only_reduces and instrument.value(reference * lots) < instrument.min_notional:
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
        if more <= 0:
            return
        leverage = account.leverage_of(position.symbol)
        if more / leverage > self.available_balance(account):
            raise Reject(RejectReason.INSUFFICIENT_MARGIN)
        if position.margin_notional(mark, bids, asks) > position.instrument.max_notional(leverage):
            raise Reject(RejectReason.POSITION_TOO_LARGE)

    def _leg(self, account: Account, instrument: Instrument, position_side: PositionSide) -> SimPosition:
        """The position that `position_side` names in the account's mode. Raises Reject POSITION_SIDE."""
        if (position_side is not PositionSide.BOTH) is not account.hedge_mode:
            raise Reject(RejectReason.POSITION_SIDE)
        return account.position(instrument, position_side)

    # -- the life of an order ----------------------------------------------------------------------------

    def _open_order(self, account: Account, symbol: str, order_id: int | None, client_order_id: str | None) -> SimOrder:
        self.instrument(symbol)
        order = account.find_open(symbol, order_id, client_order_id)
        if order is None:
            raise Reject(RejectReason.UNKNOWN_ORDER)
        return order

    def _accept(self, engine: MatchingEngine, order: SimOrder) -> None:
        order.account.add_open(order)
        self._reserve(order, order.remaining)
        self._report_order(order, ExecutionType.NEW)
        self._run(engine, order)
        engine.publish()

    def _run(self, engine: MatchingEngine, order: SimOrder) -> None:
        """Match a new or re-queued order, then rest it or end it."""
        engine.match(order, order.price or max(1, self._price_bound(engine.instrument, order.side)))
        if not order.remaining:
            return
        if order.expire_reason is not ExpireReason.NONE:
            self.on_expired(order, order.expire_reason)
        elif order.tif in (TimeInForce.IOC, TimeInForce.FOK):
            self.on_expired(order, ExpireReason.UNFILLED)
        else:
            engine.rest(order)
            if order.good_till_ms:
                self._dated[order.order_id] = order

    def _cancel(self, order: SimOrder) -> None:
        self.engines[order.symbol].remove(order)
        self._end(order, OrderStatus.CANCELED, ExecutionType.CANCELED)

    def on_expired(self, order: SimOrder, reason: ExpireReason) -> None:
        """An order out of the book ends without its owner's asking: settle and report it."""
        order.expire_reason = reason
        self._end(order, OrderStatus.EXPIRED, ExecutionType.EXPIRED)

    def _end(self, order: SimOrder, status: OrderStatus, execution_type: ExecutionType) -> None:
        self._reserve(order, -order.remaining)
        order.status = status
        order.updated_ms = self.clock.now_ms()
        self._close(order)
        self._report_order(order, execution_type)

    def _close(self, order: SimOrder) -> None:
        self._dated.pop(order.order_id, None)
        order.account.move_to_history(order)

    @staticmethod
    def _reserve(order: SimOrder, lots: int) -> None:
        """Count `lots` of an open order into (or, negative, out of) what margin is held for."""
        if order.only_reduces or order.type is OrderType.MARKET:
            return
        position = order.account.positions[order.symbol, order.position_side]
        if order.side is Side.BUY:
            position.open_bids += order.price * lots
        else:
            position.open_asks += order.price * lots

    def on_fill(self, order: SimOrder, price: int, quantity: int, is_maker: bool, trade_id: int) -> None:
        """The engine has filled `quantity` lots of `order` at `price` ticks: settle and report it."""
        account = order.account
        instrument = self.instruments[order.symbol]
        position = account.position(instrument, order.position_side)
        fee = fee_of(instrument, price, quantity, is_maker)
        before = position.amount
        profit = position.apply_fill(order.side, price, quantity)
        position.updated_ms = time_ms = order.updated_ms
        if order.symbol in account.isolated:
            position.move_isolated(before, price, quantity, account.leverage_of(order.symbol))
        if profit:
            account.book_income(self.next_record_id(), order.symbol, IncomeType.REALIZED_PNL, profit, time_ms, trade_id)
        account.book_income(self.next_record_id(), order.symbol, IncomeType.COMMISSION, -fee, time_ms, trade_id)
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
            self._close(order)
        self._report_order(order, ExecutionType.TRADE, execution)
        self._report_account(account, "ORDER", position)
        self._expire_useless_reductions(account, position, order)

    def _expire_useless_reductions(self, account: Account, position: SimPosition, current: SimOrder) -> None:
        """End resting reduce-only orders that would now do more than close the position."""
        engine = self.engines[position.symbol]
        for other in [o for o in account.open_orders.values() if o.only_reduces and o.symbol == position.symbol]:
            if other is current or other.position_side is not position.position_side:
                continue
            if not position.can_reduce(other.side, other.remaining):
                engine.remove(other)
                self.on_expired(other, ExpireReason.REDUCE_ONLY)

    # -- reporting ---------------------------------------------------------------------------------------

    def _report_order(self, order: SimOrder, execution_type: ExecutionType, execution: Execution | None = None) -> None:
        for listener in self._account_listeners:
            listener.on_order(order.account, order, execution_type, execution)

    def report_account(self, account: Account, reason: str) -> None:
        """Tell listeners of a change of the wallet that belongs to no position."""
        for listener in self._account_listeners:
            listener.on_account(account, reason, [(account.quote, account.wallet_balance)], [])

    def _report_account(self, account: Account, reason: str, position: SimPosition) -> None:
        assets = [(account.quote, account.wallet_balance)]
        for listener in self._account_listeners:
            listener.on_account(account, reason, assets, [position])
