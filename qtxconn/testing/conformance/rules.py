"""Cases 1xx: trading rules, quantising, and what is refused before anything is sent."""

from __future__ import annotations

from decimal import Decimal

from qtxconn.core.types import OrderType
from qtxconn.errors import ConfigurationError, NotReadyError, OrderValidationError
from qtxconn.testing.conformance.kit import case
from qtxconn.testing.conformance.session import BUY, SELL, Session, check, refused, same

NOWHERE = "NOSUCH-COIN"


@case(101)
async def rule_is_known(s: Session) -> None:
    """The pair's rule has a tick, a lot, a least size and a symbol."""
    rule = s.rule
    check("tick", rule.min_price_increment > 0)
    check("lot", rule.min_base_amount_increment > 0)
    check("least size", rule.min_order_size > 0)
    symbol = s.connector.exchange_symbol_associated_to_pair(s.pair)
    same("symbol of the rule", rule.exchange_symbol, symbol)
    same("pair of the symbol", s.connector.trading_pair_associated_to_exchange_symbol(symbol), s.pair)


@case(102)
async def rules_cover_pairs(s: Session) -> None:
    """There is a rule and a book for every traded pair, and for no other."""
    same("rules", list(s.connector.trading_rules), s.connector.trading_pairs)
    same("books", list(s.connector.order_books), s.connector.trading_pairs)


@case(103)
async def buy_price_rounds_down(s: Session) -> None:
    """A buy's price between two ticks becomes the lower one."""
    price = s.mid
    same("price", s.connector.quantize_order_price(s.pair, price + s.tick / 4, BUY), price)
    same("on the tick", s.connector.quantize_order_price(s.pair, price, BUY), price)


@case(104)
async def sell_price_rounds_up(s: Session) -> None:
    """A sell's price between two ticks becomes the higher one."""
    price = s.mid
    same("price", s.connector.quantize_order_price(s.pair, price + s.tick / 4, SELL), price + s.tick)
    same("on the tick", s.connector.quantize_order_price(s.pair, price, SELL), price)


@case(105)
async def amount_rounds_down(s: Session) -> None:
    """An amount between two lots becomes the lower one, never 0.1 + 0.2 of anything."""
    lot = s.lot
    same("amount", s.connector.quantize_order_amount(s.pair, lot + s.step * Decimal("0.999")), lot)
    same("thirds", s.connector.quantize_order_amount(s.pair, s.step * 3), s.step * 3)


@case(106)
async def sent_quantised_buy(s: Session) -> None:
    """What reaches the venue of a buy off the grid is on it, to the passive side."""
    price = s.far(BUY)
    order = await s.rest(BUY, price + s.tick / 2, s.lot + s.step / 2)
    truth = await s.venue.order(order.client_order_id)
    check("the venue has it", truth)
    same("price and amount", truth and (truth.price, truth.amount), (price, s.lot))


@case(107)
async def sent_quantised_sell(s: Session) -> None:
    """What reaches the venue of a sell off the grid is on it, to the passive side."""
    price = s.far(SELL)
    order = await s.rest(SELL, price - s.tick / 2, s.lot + s.step / 2)
    truth = await s.venue.order(order.client_order_id)
    check("the venue has it", truth)
    same("price and amount", truth and (truth.price, truth.amount), (price, s.lot))


async def _nothing_sent(s: Session) -> None:
    same("tracked orders", s.connector.in_flight_orders, {})
    same("orders at the venue", await s.venue.open_orders(), [])
    same("events", s.events and [type(event).__name__ for event in s.events if hasattr(event, "order_id")], [])


@case(108)
async def below_least_size(s: Session) -> None:
    """An amount below the least is refused before it is sent."""
    refused("tiny amount", OrderValidationError, lambda: s.place(amount=s.rule.min_order_size / 10))
    await _nothing_sent(s)


@case(109)
async def zero_amount(s: Session) -> None:
    """An amount of 0 is refused before it is sent."""
    refused("no amount", OrderValidationError, lambda: s.place(amount=Decimal(0)))
    await _nothing_sent(s)


@case(110)
async def negative_amount(s: Session) -> None:
    """A negative amount is refused before it is sent."""
    refused("negative amount", OrderValidationError, lambda: s.place(amount=-s.lot))
    await _nothing_sent(s)


@case(111)
async def not_a_number(s: Session) -> None:
    """An amount that is no number, or infinite, is refused before it is sent."""
    refused("NaN", OrderValidationError, lambda: s.place(amount=Decimal("nan")))
    refused("infinite", OrderValidationError, lambda: s.place(amount=Decimal("inf")))
    await _nothing_sent(s)


@case(112)
async def price_not_positive(s: Session) -> None:
    """A limit price of 0 or less is refused before it is sent."""
    refused("price 0", OrderValidationError, lambda: s.place(price=Decimal(0)))
    refused("price below 0", OrderValidationError, lambda: s.place(price=-s.mid))
    await _nothing_sent(s)


@case(113)
async def price_missing(s: Session) -> None:
    """A limit order without a price is refused before it is sent."""
    refused("no price", OrderValidationError, lambda: s.connector.buy(s.pair, s.lot, OrderType.LIMIT))
    await _nothing_sent(s)


@case(114)
async def below_notional(s: Session) -> None:
    """An order worth less than the least notional is refused before it is sent."""
    if not s.rule.min_notional_size:
        return
    amount = s.rule.min_order_size
    check("the rule is tighter than the least size", amount * s.mid < s.rule.min_notional_size)
    refused("too small in quote", OrderValidationError, lambda: s.place(amount=amount))
    await _nothing_sent(s)


@case(115)
async def above_largest_size(s: Session) -> None:
    """An amount above the largest is refused before it is sent."""
    refused("huge", OrderValidationError, lambda: s.place(amount=s.rule.max_order_size + s.step))
    await _nothing_sent(s)


@case(116)
async def unknown_pair(s: Session) -> None:
    """An order for a pair that is not traded here is refused, and the error names those that are."""
    text = refused("unknown pair", OrderValidationError, lambda: s.connector.buy(NOWHERE, s.lot, price=s.mid))
    check(f"names {s.pair}: {text}", s.pair in text)
    refused("its book", OrderValidationError, lambda: s.connector.get_order_book(NOWHERE))


@case(117)
async def unknown_option(s: Session) -> None:
    """An option the exchange does not know is refused by its name before it is sent."""
    text = refused("unknown option", OrderValidationError, lambda: s.place(no_such_option=True))
    check(f"names the option: {text}", "no_such_option" in text)
    await _nothing_sent(s)


@case(118)
async def unsupported_type(s: Session) -> None:
    """Each order type that is not declared is refused before it is sent."""
    supported = s.connector.supported_order_types()
    check("at least limit orders", OrderType.LIMIT in supported)
    for kind in OrderType:
        if kind not in supported:
            refused(kind.name, OrderValidationError, lambda kind=kind: s.place(kind=kind, price=s.mid))
    refused("no order type", OrderValidationError, lambda: s.place(kind=None, price=s.mid))
    await _nothing_sent(s)


@case(119)
async def wrong_pair_at_connect(s: Session) -> None:
    """connect() with a pair the venue does not trade says so, and leaves nothing connected."""
    connector = s.make(trading_pairs=[NOWHERE])
    try:
        await connector.connect()
    except ConfigurationError as error:
        check(f"names the pair: {error}", NOWHERE in str(error))
    else:
        raise AssertionError("connect() took a pair that does not exist")
    check("not connected", not connector.is_connected)


@case(120)
async def before_connect(s: Session) -> None:
    """Before connect() an order is refused, and is_ready says no with a reason."""
    connector = s.make()
    check("not ready", not connector.is_ready)
    check("a reason", connector.not_ready_reason)
    await connector.initialize()
    refused("buy", NotReadyError, lambda: connector.buy(s.pair, s.lot, OrderType.LIMIT, s.far(BUY)))
    await connector.disconnect()
    same("orders at the venue", await s.venue.open_orders(), [])


@case(121)
async def client_ids(s: Session) -> None:
    """Client order ids are unique, short enough, and taken by the venue as they are."""
    ids = [s.connector.generate_client_order_id() for _ in range(1000)]
    same("different ids", len(set(ids)), len(ids))
    check("their length", max(map(len, ids)) <= s.connector.client_order_id_max_length)
    order = await s.rest()
    same("open at the venue", [o.client_order_id for o in await s.venue.open_orders()], [order.client_order_id])
