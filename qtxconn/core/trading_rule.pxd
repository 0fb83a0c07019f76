# The rules a venue sets for orders of one trading pair.

from qtxconn.core.fixed cimport Fixed, FixedError


cdef class TradingRule:
    cdef readonly str trading_pair
    cdef readonly str exchange_symbol                 # the venue's own name
    cdef readonly bint supports_limit_orders
    cdef readonly bint supports_market_orders
    cdef readonly str buy_order_collateral_token
    cdef readonly str sell_order_collateral_token
    cdef readonly int max_num_orders                  # 0: no limit known
    cdef Fixed c_price_increment                      # quote per base
    cdef Fixed c_amount_increment                     # base asset
    cdef Fixed c_min_price
    cdef Fixed c_max_price                            # 0: no limit
    cdef Fixed c_min_order_size                       # base asset
    cdef Fixed c_max_order_size                       # base asset, 0: no limit
    cdef Fixed c_min_notional                         # quote asset

    cdef Fixed c_quantize_price(self, Fixed price, bint up) except *
    cdef Fixed c_quantize_amount(self, Fixed amount) except *
    cdef str c_violation(self, Fixed price, Fixed amount, bint is_limit)
    # -- private ---------------------------------------------------------------------------------------------
    cdef str _off_grid(self, str what, Fixed value, Fixed increment, FixedError error)
