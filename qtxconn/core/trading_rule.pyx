"""The rules a venue sets for orders of one trading pair: grids, limits, and rounding that is always named."""

from qtxconn.core.fixed cimport (
    Fixed,
    FixedError,
    Rounding,
    compare,
    fixed_checked,
    fixed_from,
    fixed_to_decimal,
    fixed_to_text,
    multiply,
    quantize,
    to_increments,
)

from libc.stdint cimport int64_t

from qtxconn.errors import ConfigurationError


cdef class TradingRule:
    """Grid and limits of one pair; prices in quote per base, sizes in base asset, notional in quote asset.

    Numbers are Decimals, ints or decimal text, never floats. A maximum of 0 means that no limit is known. Keywords
    follow Hummingbot; `exchange_symbol` is the venue's name of the pair.
    """

    def __init__(
        self,
        str trading_pair not None,
        min_order_size=0,
        max_order_size=0,
        min_price_increment="0.00000001",
        min_base_amount_increment="0.00000001",
        min_notional_size=0,
        *,
        min_price=0,
        max_price=0,
        str exchange_symbol="",
        int max_num_orders=0,
        bint supports_limit_orders=True,
        bint supports_market_orders=True,
        str buy_order_collateral_token=None,
        str sell_order_collateral_token=None,
    ):
        if trading_pair.count("-") != 1 or not all(trading_pair.split("-")):
            raise ConfigurationError(f"a trading pair looks like BTC-USDT, not {trading_pair!r}")
        self.trading_pair = trading_pair
        self.exchange_symbol = exchange_symbol
        self.c_min_order_size = fixed_from(min_order_size)
        self.c_max_order_size = fixed_from(max_order_size)
        self.c_price_increment = fixed_from(min_price_increment)
        self.c_amount_increment = fixed_from(min_base_amount_increment)
        self.c_min_notional = fixed_from(min_notional_size)
        self.c_min_price = fixed_from(min_price)
        self.c_max_price = fixed_from(max_price)
        if self.c_price_increment.units <= 0 or self.c_amount_increment.units <= 0:
            raise ConfigurationError(f"{trading_pair}: price and amount increments must be positive")
        self.max_num_orders = max_num_orders
        self.supports_limit_orders = supports_limit_orders
        self.supports_market_orders = supports_market_orders
        cdef str quote = trading_pair.split("-")[1]
        self.buy_order_collateral_token = buy_order_collateral_token or quote
        self.sell_order_collateral_token = sell_order_collateral_token or quote

    # -- the numbers as Decimals -----------------------------------------------------------------------------

    @property
    def min_price_increment(self):
        """Tick size, quote per base."""
        return fixed_to_decimal(self.c_price_increment)

    @property
    def min_base_amount_increment(self):
        """Lot size, base asset."""
        return fixed_to_decimal(self.c_amount_increment)

    @property
    def min_order_size(self):
        return fixed_to_decimal(self.c_min_order_size)

    @property
    def max_order_size(self):
        return fixed_to_decimal(self.c_max_order_size)

    @property
    def min_notional_size(self):
        return fixed_to_decimal(self.c_min_notional)

    @property
    def min_price(self):
        return fixed_to_decimal(self.c_min_price)

    @property
    def max_price(self):
        return fixed_to_decimal(self.c_max_price)

    # -- rounding --------------------------------------------------------------------------------------------

    def quantize_price_down(self, price):
        """The grid price at or below `price`: passive for a buy, aggressive for a sell."""
        return fixed_to_decimal(self.c_quantize_price(fixed_from(price), False))

    def quantize_price_up(self, price):
        """The grid price at or above `price`: aggressive for a buy, passive for a sell."""
        return fixed_to_decimal(self.c_quantize_price(fixed_from(price), True))

    def quantize_amount(self, amount):
        """`amount` rounded down to the lot grid: never more than was asked for."""
        return fixed_to_decimal(self.c_quantize_amount(fixed_from(amount)))

    def violation(self, price, amount, bint is_limit=True):
        """Why the venue would refuse an order of this price and amount, in one line, or None.

        `price` None (a market order without a reference) skips the notional check.
        """
        cdef Fixed c_price
        if price is not None:
            c_price = fixed_from(price)
        return self.c_violation(c_price, fixed_from(amount), is_limit)

    cdef Fixed c_quantize_price(self, Fixed price, bint up) except *:
        cdef Fixed result
        cdef Rounding mode = Rounding.ceiling if up else Rounding.floor
        return fixed_checked(quantize(price, self.c_price_increment, mode, result), result)

    cdef Fixed c_quantize_amount(self, Fixed amount) except *:
        cdef Fixed result
        return fixed_checked(quantize(amount, self.c_amount_increment, Rounding.down, result), result)

    cdef str c_violation(self, Fixed price, Fixed amount, bint is_limit):
        cdef int64_t count = 0
        cdef Fixed notional
        cdef FixedError error
        cdef str pair = self.trading_pair
        if amount.units <= 0:
            return f"{pair}: the amount must be positive, not {fixed_to_text(amount)}"
        if compare(amount, self.c_min_order_size) < 0:
            return f"{pair}: amount {fixed_to_text(amount)} is below the minimum {fixed_to_text(self.c_min_order_size)}"
        if self.c_max_order_size.units > 0 and compare(amount, self.c_max_order_size) > 0:
            return f"{pair}: amount {fixed_to_text(amount)} is above the maximum {fixed_to_text(self.c_max_order_size)}"
        error = to_increments(amount, self.c_amount_increment, Rounding.down, count)
        if error != FixedError.ok:
            return self._off_grid("amount", amount, self.c_amount_increment, error)
        if is_limit:
            if price.units <= 0:
                return f"{pair}: a limit price must be positive, not {fixed_to_text(price)}"
            error = to_increments(price, self.c_price_increment, Rounding.down, count)
            if error != FixedError.ok:
                return self._off_grid("price", price, self.c_price_increment, error)
            if compare(price, self.c_min_price) < 0:
                return f"{pair}: price {fixed_to_text(price)} is below the minimum {fixed_to_text(self.c_min_price)}"
            if self.c_max_price.units > 0 and compare(price, self.c_max_price) > 0:
                return f"{pair}: price {fixed_to_text(price)} is above the maximum {fixed_to_text(self.c_max_price)}"
        if price.units > 0 and self.c_min_notional.units > 0:
            if multiply(price, amount, notional) != FixedError.ok:
                return f"{pair}: price times amount has too many digits to be held exactly"
            if compare(notional, self.c_min_notional) < 0:
                return (f"{pair}: notional {fixed_to_text(notional)} is below the minimum "
                        f"{fixed_to_text(self.c_min_notional)}; raise the amount or the price")
        return None

    cdef str _off_grid(self, str what, Fixed value, Fixed increment, FixedError error):
        cdef str name = f"{self.trading_pair}: {what} {fixed_to_text(value)}"
        if error == FixedError.inexact:
            return f"{name} is no multiple of {fixed_to_text(increment)}"
        return f"{name} has so many increments of {fixed_to_text(increment)} that it cannot be held exactly"

    def __repr__(self):
        return (f"TradingRule({self.trading_pair!r}, min_order_size={self.min_order_size}, "
                f"min_price_increment={self.min_price_increment}, "
                f"min_base_amount_increment={self.min_base_amount_increment}, "
                f"min_notional_size={self.min_notional_size})")
