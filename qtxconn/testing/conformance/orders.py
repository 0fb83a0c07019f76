"""Cases 2xx: each order type and time in force, fills, fees."""

from __future__ import annotations

import asyncio

from qtxconn.core.types import OrderRequest, OrderState, OrderType, PositionAction, TradeType
from qtxconn.errors import OrderValidationError
from qtxconn.testing.conformance.kit import case
from qtxconn.testing.conformance.session import BUY, SELL, Session, check, refused, same

LIMIT, MAKER, MARKET = "order type LIMIT", "order type LIMIT_MAKER", "order type MARKET"
GTC, IOC, FOK, GTD = (f"time in force {name}" for name in ("GTC", "IOC", "FOK", "GTD"))
BATCH, BATCH_CANCEL = "batch", "batch cancel"


async def _rests(s: Session, side: TradeType, kind: OrderType) -> None:
    order = await s.rest(side, kind=kind)
    same("told", s.told(order), ["created"])
    truth = await s.venue.open_orders()
    same("open at the venue", [(o.client_order_id, o.price) for o in truth], [(order.client_order_id, order.price)])


@case(201, LIMIT)
async def limit_buy_rests(s: Session) -> None:
    """A limit buy rests at the venue and is announced once."""
    await _rests(s, BUY, OrderType.LIMIT)


@case(202, LIMIT)
async def limit_sell_rests(s: Session) -> None:
    """A limit sell rests at the venue and is announced once."""
    await _rests(s, SELL, OrderType.LIMIT)


@case(203, MAKER)
async def maker_buy_rests(s: Session) -> None:
    """A post-only buy rests at the venue."""
    await _rests(s, BUY, OrderType.LIMIT_MAKER)


@case(204, MAKER)
async def maker_sell_rests(s: Session) -> None:
    """A post-only sell rests at the venue."""
    await _rests(s, SELL, OrderType.LIMIT_MAKER)


async def _market_fills(s: Session, side: TradeType) -> None:
    best = s.crossing(side)
    order = await s.filled(side)
    same("told", s.told(order), ["created", "filled", "completed"])
    same("price", order.average_executed_price, best)
    fill = next(iter(order.order_fills.values()))
    check("it took", fill.is_taker)


@case(205, MARKET)
async def market_buy(s: Session) -> None:
    """A market buy is filled at the best ask and completed."""
    await _market_fills(s, BUY)


@case(206, MARKET)
async def market_sell(s: Session) -> None:
    """A market sell is filled at the best bid and completed."""
    await _market_fills(s, SELL)


async def _takes(s: Session, side: TradeType) -> None:
    best = s.crossing(side)
    order = s.place(side, best + (s.tick if side is BUY else -s.tick))
    await s.state(order, OrderState.FILLED)
    same("price", order.average_executed_price, best)


@case(207, LIMIT)
async def limit_buy_takes(s: Session) -> None:
    """A limit buy above the best ask takes at the ask's price."""
    await _takes(s, BUY)


@case(208, LIMIT)
async def limit_sell_takes(s: Session) -> None:
    """A limit sell below the best bid takes at the bid's price."""
    await _takes(s, SELL)


@case(209, LIMIT)
async def takes_and_rests(s: Session) -> None:
    """A limit order takes what there is, and the remainder rests."""
    await s.venue.rest(SELL, s.lot, s.mid)
    order = s.place(BUY, s.mid, s.lot * 3)
    await s.state(order, OrderState.PARTIALLY_FILLED)
    same("executed", order.executed_amount_base, s.lot)
    same("open at the venue", [o.executed for o in await s.venue.open_orders()], [s.lot])


async def _is_hit(s: Session, side: TradeType) -> None:
    price = s.mid
    order = await s.rest(side, price)
    same("the counterparty got", await s.venue.take(side.opposite, s.lot, price), s.lot)
    await s.state(order, OrderState.FILLED)
    same("told", s.told(order), ["created", "filled", "completed"])
    same("price", order.average_executed_price, price)


@case(210, LIMIT)
async def resting_buy_is_hit(s: Session) -> None:
    """A resting buy that somebody hits is filled at its price."""
    await _is_hit(s, BUY)


@case(211, LIMIT)
async def resting_sell_is_lifted(s: Session) -> None:
    """A resting sell that somebody lifts is filled at its price."""
    await _is_hit(s, SELL)


@case(212)
async def partial_then_whole(s: Session) -> None:
    """Two partial fills: partially filled in between, completed once at the end."""
    price = s.mid
    order = await s.rest(BUY, price, s.lot * 2)
    await s.venue.take(SELL, s.lot, price)
    await s.state(order, OrderState.PARTIALLY_FILLED)
    await s.venue.take(SELL, s.lot, price)
    await s.state(order, OrderState.FILLED)
    same("told", s.told(order), ["created", "filled", "filled", "completed"])


@case(213)
async def partial_then_cancel(s: Session) -> None:
    """A partially filled order that is cancelled keeps what it executed."""
    price = s.mid
    order = await s.rest(SELL, price, s.lot * 3)
    await s.venue.take(BUY, s.lot, price)
    await s.state(order, OrderState.PARTIALLY_FILLED)
    s.cancel(order)
    await s.state(order, OrderState.CANCELED)
    same("executed", order.executed_amount_base, s.lot)
    same("told", s.told(order), ["created", "filled", "cancelled"])


@case(214)
async def many_fills(s: Session) -> None:
    """Ten fills of one order add up exactly, each told once."""
    price = s.mid
    order = await s.rest(BUY, price, s.lot * 10)
    for _ in range(10):
        await s.venue.take(SELL, s.lot, price)
    await s.state(order, OrderState.FILLED)
    same("fills told", s.told(order).count("filled"), 10)
    same("quote", order.executed_amount_quote, price * s.lot * 10)


@case(215)
async def sweep(s: Session) -> None:
    """An order that takes two levels has a fill at each price, and the exact average."""
    low, high = s.mid, s.mid + s.tick * 2
    await s.venue.rest(SELL, s.lot, low)
    await s.venue.rest(SELL, s.lot, high)
    order = s.place(BUY, high, s.lot * 2)
    await s.state(order, OrderState.FILLED)
    same("prices", sorted(fill.fill_price for fill in order.order_fills.values()), [low, high])
    same("average", order.average_executed_price, (low + high) / 2)


@case(216)
async def taker_fee(s: Session) -> None:
    """A fill that took has its fee in the quote asset, as the venue booked it."""
    before = await s.venue.balance()
    order = await s.filled(BUY)
    fee = order.cumulative_fee_paid(s.asset)
    check("a fee", fee > 0)
    same("wallet", await s.venue.balance(), before - fee)


@case(217)
async def maker_fee(s: Session) -> None:
    """A fill that gave is no taker's, and its fee is what the venue booked."""
    before = await s.venue.balance()
    price = s.mid
    order = await s.rest(BUY, price)
    await s.venue.take(SELL, s.lot, price)
    await s.state(order, OrderState.FILLED)
    check("it gave", not next(iter(order.order_fills.values())).is_taker)
    same("wallet", await s.venue.balance(), before - order.cumulative_fee_paid(s.asset))


@case(218, GTC)
async def good_till_cancelled(s: Session) -> None:
    """A GTC order rests."""
    order = await s.rest(time_in_force="GTC")
    truth = await s.venue.order(order.client_order_id)
    same("time in force", truth and truth.time_in_force, "GTC")


@case(219, IOC)
async def ioc_fills(s: Session) -> None:
    """An IOC order that finds everything is filled."""
    order = s.place(BUY, s.crossing(BUY), time_in_force="IOC")
    await s.state(order, OrderState.FILLED)


@case(220, IOC)
async def ioc_remainder(s: Session) -> None:
    """The remainder of an IOC order ends as expired, and what it found stays."""
    await s.venue.rest(SELL, s.lot, s.mid)
    order = s.place(BUY, s.mid, s.lot * 2, time_in_force="IOC")
    await s.state(order, OrderState.EXPIRED)
    same("executed", order.executed_amount_base, s.lot)
    same("told", s.told(order), ["created", "filled", "expired"])


@case(221, IOC)
async def ioc_finds_nothing(s: Session) -> None:
    """An IOC order that finds nothing expires without a fill."""
    order = s.place(time_in_force="IOC")
    await s.state(order, OrderState.EXPIRED)
    same("told", s.told(order), ["created", "expired"])


@case(222, FOK)
async def fok_fills(s: Session) -> None:
    """A FOK order that finds everything is filled."""
    order = s.place(SELL, s.crossing(SELL), time_in_force="FOK")
    await s.state(order, OrderState.FILLED)


@case(223, FOK)
async def fok_finds_too_little(s: Session) -> None:
    """A FOK order that finds too little takes nothing at all."""
    await s.venue.rest(SELL, s.lot, s.mid)
    order = s.place(BUY, s.mid, s.lot * 2, time_in_force="FOK")
    await s.until("it has ended", lambda: order.is_done)
    same("executed", order.executed_amount_base, 0)
    check(f"not filled: {order.current_state.name}", not order.is_filled)
    same("position", await s.venue.position(), 0)


@case(224)
async def close_is_reduce_only(s: Session) -> None:
    """An order that closes a position can do nothing else at the venue."""
    await s.filled(BUY)
    order = await s.rest(SELL, position_action=PositionAction.CLOSE)
    truth = await s.venue.order(order.client_order_id)
    check("reduce-only at the venue", truth and truth.reduces_only)


@case(225)
async def open_is_not_reduce_only(s: Session) -> None:
    """An order that opens a position is not reduce-only."""
    order = await s.rest(SELL, position_action=PositionAction.OPEN)
    truth = await s.venue.order(order.client_order_id)
    check("not reduce-only at the venue", truth and not truth.reduces_only)


@case(226)
async def twenty_at_once(s: Session) -> None:
    """Twenty orders in one breath are all open, each under its own ids."""
    orders = [s.place(BUY if n % 2 else SELL) for n in range(20)]
    for order in orders:
        await s.state(order, OrderState.OPEN)
    same("client ids", len({order.client_order_id for order in orders}), 20)
    wanted = {(order.client_order_id, order.exchange_order_id) for order in orders}
    same("at the venue", {(o.client_order_id, o.exchange_order_id) for o in await s.venue.open_orders()}, wanted)


@case(227)
async def first_come(s: Session) -> None:
    """Of two own orders at one price the one that is hit is the one that is told."""
    price = s.mid
    first = await s.rest(BUY, price)
    second = await s.rest(BUY, price)
    await s.venue.take(SELL, s.lot, price)
    await s.state(first, OrderState.FILLED)
    same("the other", second.current_state, OrderState.OPEN)


@case(228)
async def waits(s: Session) -> None:
    """What waits for an order's id and for its end is woken by them."""
    price = s.mid
    order = s.place(BUY, price)
    exchange_order_id = await order.get_exchange_order_id()
    truth = await s.venue.order(order.client_order_id)
    same("the venue's id", exchange_order_id, truth and truth.exchange_order_id)
    waiting = asyncio.create_task(order.wait_until_completely_filled())
    await s.venue.take(SELL, s.lot, price)
    async with asyncio.timeout(10.0):
        await waiting
    check("filled", order.is_filled)


@case(229)
async def meets_itself(s: Session) -> None:
    """An order that would trade with one of the same account ends as the venue says, and makes no position."""
    price = s.mid
    resting = await s.rest(BUY, price)
    order = s.place(SELL, price)
    await s.until("one of the two has ended", lambda: order.is_done or resting.is_done)
    same("executed", order.executed_amount_base + resting.executed_amount_base, 0)
    same("position", await s.venue.position(), 0)


@case(230)
async def times(s: Session) -> None:
    """An order's times are in order: made, sent, acknowledged, first filled, done."""
    order = await s.filled(BUY)
    stamps = [order.creation_timestamp_ns, order.submitted_ns, order.acked_ns, order.first_fill_ns, order.done_ns]
    check(f"all are known: {stamps}", all(stamps))
    check(f"in order: {stamps[1:]}", stamps[1:] == sorted(stamps[1:]))


@case(231, GTD)
async def good_till_date(s: Session) -> None:
    """A GTD order rests at the venue as such; without its date it is refused before it is sent."""
    date = s.connector.current_timestamp + s.connector.good_till_ahead_min_s + 600
    order = await s.rest(time_in_force="GTD", good_till_date=date)
    truth = await s.venue.order(order.client_order_id)
    same("time in force", truth and truth.time_in_force, "GTD")
    refused("no date", OrderValidationError, lambda: s.place(time_in_force="GTD"))


@case(232, "open_orders")
async def open_orders(s: Session) -> None:
    """The open orders that the connector reads are the venue's, those placed by hand too."""
    order = await s.rest()
    by_hand = await s.venue.place_by_hand(SELL, s.lot, s.far(SELL))
    found = {update.exchange_order_id for update in await s.connector.get_open_orders(s.pair)}
    same("ids", found, {order.exchange_order_id, by_hand})


@case(233, BATCH, BATCH_CANCEL)
async def batch(s: Session) -> None:
    """A batch with an illegal order: that one is refused with its reason, the others open, and a batch cancels them."""
    amounts = [s.lot, s.lot, s.step / 10, s.lot]
    requests = [OrderRequest(s.pair, BUY, amount, OrderType.LIMIT, s.far(BUY)) for amount in amounts]
    results = s.connector.batch_order_create(requests)
    same("refused here", [result.error is not None for result in results], [False, False, True, False])
    for result in results:
        if result.order_id is not None:
            s.orders.append(s.connector.in_flight_orders[result.order_id])
    for order in s.orders:
        await s.state(order, OrderState.OPEN)
    same("asked", s.connector.batch_order_cancel(s.orders), [True] * 3)
    for order in s.orders:
        await s.state(order, OrderState.CANCELED)


@case(234, BATCH)
async def batch_with_a_refusal(s: Session) -> None:
    """Of a batch the venue refuses one: it fails, and the others are open."""
    amounts = [s.lot, s.rule.max_order_size, s.lot]
    requests = [OrderRequest(s.pair, BUY, amount, OrderType.LIMIT, s.far(BUY)) for amount in amounts]
    for result in s.connector.batch_order_create(requests):
        s.orders.append(s.connector.in_flight_orders[result.order_id or ""])
    await s.until("all have an answer", lambda: all(order.acked_ns or order.is_done for order in s.orders))
    same("failed", [order.is_failure for order in s.orders], [False, True, False])


@case(235, GTD)
async def good_till_date_comes(s: Session) -> None:
    """The date of a GTD order comes: it ends as expired, told once, and an order without a date stays."""
    date = s.connector.current_timestamp + s.connector.good_till_ahead_min_s + 600
    dated = await s.rest(time_in_force="GTD", good_till_date=date)
    other = await s.rest()
    await s.venue.expire_dated_orders()
    await s.state(dated, OrderState.EXPIRED)
    same("told", s.told(dated), ["created", "expired"])
    same("the other", other.current_state, OrderState.OPEN)


@case(236, GTD)
async def good_till_date_after_a_fill(s: Session) -> None:
    """The date of a GTD order comes when a part of it is executed: expired, and the part stays."""
    price = s.mid
    date = s.connector.current_timestamp + s.connector.good_till_ahead_min_s + 600
    order = await s.rest(BUY, price, s.lot * 2, time_in_force="GTD", good_till_date=date)
    await s.venue.take(SELL, s.lot, price)
    await s.state(order, OrderState.PARTIALLY_FILLED)
    await s.venue.expire_dated_orders()
    await s.state(order, OrderState.EXPIRED)
    same("executed", order.executed_amount_base, s.lot)
    same("told", s.told(order), ["created", "filled", "expired"])
