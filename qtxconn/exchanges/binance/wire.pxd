# Binance stream messages read from their bytes (include/qtxconn/binance_wire.hpp).

from libc.stdint cimport int64_t, uint8_t
from libcpp cimport bool as cbool
from libcpp.string_view cimport string_view

from qtxconn.core.fixed cimport Fixed
from qtxconn.core.l2_book cimport BookLevel
from qtxconn.core.order_store cimport OrderState, TradeType


cdef extern from "qtxconn/binance_wire.hpp" namespace "qtxconn::binance" nogil:
    cdef enum class EventKind(uint8_t):
        other
        order_trade_update
        depth_update
        trade

    cdef cppclass EventHead:
        EventKind kind
        string_view symbol

    cdef cppclass OrderTradeUpdate:
        string_view symbol, client_order_id, fee_asset
        int64_t exchange_order_id, trade_id
        int64_t transaction_ms
        Fixed price, amount, executed
        Fixed fill_price, fill_amount, fee
        OrderState state
        TradeType trade_type
        cbool is_maker, is_fill

    cdef cppclass DepthUpdate:
        string_view symbol
        int64_t first_id, last_id, prev_id
        int64_t transaction_ms
        size_t bid_count, ask_count
        BookLevel* bids     # ticks and lots
        BookLevel* asks

    cdef cppclass PublicTrade:
        string_view symbol
        int64_t trade_id
        int64_t transaction_ms
        int64_t price, amount      # ticks, lots
        cbool is_buy

    const size_t kDepthLevelsMax
    EventHead peek_event(string_view text) noexcept
    cbool parse_order_trade_update(string_view text, OrderTradeUpdate& out) noexcept
    cbool parse_depth_update(string_view text, Fixed tick, Fixed lot, DepthUpdate& out) noexcept
    cbool parse_trade(string_view text, Fixed tick, Fixed lot, PublicTrade& out) noexcept
