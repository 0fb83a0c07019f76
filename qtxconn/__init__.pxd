# What other packages cimport: `from qtxconn cimport ConnectorBase, import_qtxconn`. What is not named here is private.

from qtxconn.core.abi cimport abi_version, import_qtxconn
from qtxconn.core.client_ids cimport ClientIds, ClientIdSource
from qtxconn.core.client_order_tracker cimport ClientOrderTracker
from qtxconn.core.clock cimport Clock, monotonic_ns, wall_ns
from qtxconn.core.connector_base cimport ConnectorBase
from qtxconn.core.fixed cimport (
    Fixed,
    FixedError,
    Rounding,
    add,
    compare,
    fixed_from,
    fixed_to_decimal,
    fixed_to_text,
    format_fixed,
    from_increments,
    kFixedTextMax,
    multiply,
    parse_fixed,
    quantize,
    subtract,
    to_double,
    to_increments,
)
from qtxconn.core.in_flight_order cimport InFlightOrder
from qtxconn.core.l2_book cimport (
    BookInvalid,
    BookLevel,
    BookQuery,
    L2Book,
    LastTrade,
    Side,
    take_lots,
    take_quote,
    take_to_price,
)
from qtxconn.core.order_book cimport OrderBook
from qtxconn.core.order_event_sink cimport OrderEventSink
from qtxconn.core.order_store cimport (
    Applied,
    Fee,
    Fill,
    OrderEvent,
    OrderEventKind,
    OrderListener,
    OrderRecord,
    OrderState,
    OrderStore,
    OrderType,
    PositionAction,
    TradeType,
    VenueId,
    can_move,
    is_terminal,
    kNoFill,
)
from qtxconn.core.perpetual_derivative_base cimport PerpetualDerivativeBase
from qtxconn.core.spot_exchange_base cimport SpotExchangeBase
from qtxconn.core.trading_rule cimport TradingRule
from qtxconn.perf.latency cimport LatencyRecorder
from qtxconn.qtx.order_queue cimport AnswerView, OrderQueue, OrderRequest, QueueStatus, TextView
from qtxconn.qtx.feed_core cimport Feed
from qtxconn.qtx.strategy cimport FeedHandler, FeedTrade, Strategy
from qtxconn.qtx.udp_feed cimport UdpFeed
from qtxconn.storage.journal cimport JournalKind, JournalWriter, OrderJournal
