"""What an exchange writes: the values it declares, and the hooks that ConnectorBase calls.

All hooks run on the event loop. One that only has a docstring here may be left out; the others must be written by an
exchange that trades.
"""

import string

from qtxconn.core.in_flight_order cimport InFlightOrder

from qtxconn.core.types import PositionAction


# Not called by connect(), so a missing one would only show when an order is already on its way.
ORDER_HOOKS = ("_place_order", "_place_cancel", "_request_order_status", "_all_trade_updates_for_order")

# The declared value with which a hook is needed.
_OPTIONAL_HOOKS = (
    ("supports_amend", "_place_amend"),
    ("supports_cancel_all", "_place_cancel_all"),
    ("supports_open_orders", "_request_open_orders"),
    ("batch_size_max", "_place_order_batch"),
    ("batch_cancel_size_max", "_place_cancel_batch"),
    ("supports_countdown_cancel", "_place_countdown_cancel"),
    ("reads_order_answers", "parse_error"),
    ("reads_order_answers", "parse_order_result"),
)


def missing_order_hooks(ConnectorHooks connector not None):
    """The order hooks that a connector needs and its class has not written."""
    hooks = ORDER_HOOKS + tuple(hook for value, hook in _OPTIONAL_HOOKS if getattr(connector, value))
    return [hook for hook in hooks if getattr(type(connector), hook) is getattr(ConnectorHooks, hook)]


cdef class ConnectorHooks:
    """The contract of an exchange. Declared values first, then the hooks in the order in which connect() calls them."""

    name = "connector"
    domain = ""
    connector_type = None
    client_order_id_max_length = 36
    client_order_id_letters = string.ascii_letters + string.digits + "-_"   # that the venue takes
    client_order_id_bits = 63   # of the number in it; fewer where the venue takes only small numbers
    is_cancel_request_in_exchange_synchronous = True
    cancels_by_client_id = True     # else a cancel waits here until the venue's id is known
    # Seconds after sending, from which on "no such order" is final: the request can no longer be accepted.
    submit_dead_after_s = 10.0
    # Seconds between the queries about an order whose outcome is not known; the last one repeats.
    lookup_delays_s = (0.0, 0.25, 1.0, 3.0, 10.0)
    status_poll_interval_s = 30.0
    supports_amend = False      # _place_amend is written
    supports_cancel_all = False     # _place_cancel_all is written
    supports_open_orders = False    # _request_open_orders is written
    batch_size_max = 0          # orders in one _place_order_batch; 0: one by one
    batch_cancel_size_max = 0   # cancels in one _place_cancel_batch
    supports_countdown_cancel = False   # _place_countdown_cancel is written
    reads_order_answers = False     # orders go by another way, whose answers parse_error and parse_order_result read
    order_options = None        # names of the further keywords of buy(); None: _place_order sees to them itself
    times_in_force = ("GTC", "IOC", "FOK")      # of LIMIT orders, where `time_in_force` is an option
    trigger_sources = ()        # what the trigger of a conditional order can watch: "last", "mark", "index"
    good_till_ahead_min_s = 0.0     # how far away a good_till_date must be
    itemised_fills = True       # the venue reports executions one by one, not only executed amounts
    provisional_fill_after_s = 30.0     # after which executions that it counts but does not give are inferred
    market_data_timeout_s = 10.0

    # -- becoming ready, and going ------------------------------------------------------------------------------

    async def _start_network(self):
        """Opens sessions. Called once, before anything else."""

    async def _stop_network(self):
        """Closes what _start_network opened; may be called without it, and twice."""

    async def _request_trading_rules(self):
        """-> list[TradingRule] of every pair the venue trades, with `exchange_symbol` set."""
        raise NotImplementedError(f"{type(self).__name__} must define _request_trading_rules")

    async def _start_user_stream(self):
        """Returns once order and account events are being received; they are parsed and given to the tracker."""
        raise NotImplementedError(f"{type(self).__name__} must define _start_user_stream")

    async def _stop_user_stream(self):
        """Ends the user stream; may be called without _start_user_stream, and twice."""

    async def _update_balances(self):
        """Reads all balances and gives them to _set_balance."""
        raise NotImplementedError(f"{type(self).__name__} must define _update_balances")

    async def _update_account(self):
        """Reads what else the kind of connector needs before it is ready."""

    async def _start_market_data(self):
        """Returns once the order books of all trading pairs are being fed."""
        raise NotImplementedError(f"{type(self).__name__} must define _start_market_data")

    async def _stop_market_data(self):
        """Ends market data; may be called without _start_market_data, and twice."""

    # -- orders --------------------------------------------------------------------------------------------------

    async def _place_order(
        self, str order_id, str trading_pair, amount, trade_type, order_type, price,
        position_action=PositionAction.NIL, **options
    ):
        """Sends one order, once. -> (exchange order id, venue time in s).

        Raises OrderRejectedError (or another venue error) only on the venue's word. Any other exception, a time-out
        above all, means that the outcome is unknown.
        """
        raise NotImplementedError(f"{type(self).__name__} must define _place_order")

    async def _place_cancel(self, str order_id, InFlightOrder tracked_order):
        """Asks for a cancel. -> the order as the answer shows it (OrderUpdate), or True where the answer only confirms.
        Raises OrderNotFoundError on "unknown order"."""
        raise NotImplementedError(f"{type(self).__name__} must define _place_cancel")

    async def _place_amend(self, str order_id, InFlightOrder tracked_order, price, amount):
        """Asks for another price and whole amount of a live order; both as they are to be. -> the order as the answer
        shows it (OrderUpdate with "price" and "amount" in its misc_updates). Raises as _place_cancel does. Only with
        `supports_amend`."""
        raise NotImplementedError(f"{type(self).__name__} must define _place_amend")

    async def _place_order_batch(self, list orders, list options):
        """Sends several orders (InFlightOrder) in one request, once, each with its options. -> for each, in their
        order, (exchange order id, venue time in s) or the exception that _place_order would have raised. Raises only
        what holds for all of them."""
        raise NotImplementedError(f"{type(self).__name__} must define _place_order_batch")

    async def _place_cancel_batch(self, list orders):
        """Asks for the cancel of several orders of one pair. -> for each, in their order, an OrderUpdate or the
        exception that _place_cancel would have raised. Raises only what holds for all of them."""
        raise NotImplementedError(f"{type(self).__name__} must define _place_cancel_batch")

    async def _place_cancel_all(self, str trading_pair):
        """Cancels every open order of the pair at the venue, whoever placed it."""
        raise NotImplementedError(f"{type(self).__name__} must define _place_cancel_all")

    async def _place_countdown_cancel(self, str trading_pair, double timeout_s):
        """Has the venue cancel every open order of the pair in `timeout_s`, unless asked again; 0 calls it off."""
        raise NotImplementedError(f"{type(self).__name__} must define _place_countdown_cancel")

    async def _request_open_orders(self, str trading_pair):
        """-> list[OrderUpdate] of every order of the pair that is open at the venue, whoever placed it."""
        raise NotImplementedError(f"{type(self).__name__} must define _request_open_orders")

    async def _trade_updates_since(self, str trading_pair, double since_s):
        """-> list[TradeUpdate] of all executions on the pair from this venue time (s) on; `client_order_id` may be left
        empty. For exchanges that use _recover()."""
        raise NotImplementedError(f"{type(self).__name__} must define _trade_updates_since")

    def _venue_time_s(self):
        """The venue's clock now, in seconds since 1970; rather too early than too late."""
        return self.current_timestamp

    async def _request_order_status(self, InFlightOrder tracked_order):
        """-> OrderUpdate as the venue has it, asked by client order id. Raises OrderNotFoundError on its word only."""
        raise NotImplementedError(f"{type(self).__name__} must define _request_order_status")

    async def _all_trade_updates_for_order(self, InFlightOrder order):
        """-> list[TradeUpdate] of every execution of the order."""
        raise NotImplementedError(f"{type(self).__name__} must define _all_trade_updates_for_order")

    # -- the wire ------------------------------------------------------------------------------------------------

    def parse_error(self, code, str message, http_status=None):
        """-> VenueError of the class that the venue's code table gives."""
        raise NotImplementedError(f"{type(self).__name__} must define parse_error")

    def parse_order_result(self, dict payload):
        """-> OrderUpdate from an order object as the venue's own API answers it."""
        raise NotImplementedError(f"{type(self).__name__} must define parse_order_result")
