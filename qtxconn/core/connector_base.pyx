"""The base of every connector: life cycle, order placing and cancelling, and what is done about missing answers.

An exchange subclasses PerpetualDerivativeBase or SpotExchangeBase (qtxconn.core.connectors) and writes the hooks of
connector_hooks.pyx; everything else is done here.
"""

import asyncio
import difflib
import logging
from decimal import Decimal
from typing import NamedTuple

from qtxconn.core.client_order_tracker cimport ClientOrderTracker
from qtxconn.core.clock cimport Clock
from qtxconn.core.connector_hooks cimport ConnectorHooks
from qtxconn.core.fixed cimport Fixed, fixed_from, fixed_to_decimal
from qtxconn.core.in_flight_order cimport InFlightOrder, ns_to_seconds
from qtxconn.core.order_book cimport OrderBook
from qtxconn.core.order_journal cimport OrderJournalBase
from qtxconn.core.trading_rule cimport TradingRule

from qtxconn.core.client_ids import shared_client_ids
from qtxconn.core.clock import SYSTEM_CLOCK
from qtxconn.core.connector_hooks import missing_order_hooks
from qtxconn.core.events import ErrorEvent
from qtxconn.core.order_restore import settle_restored_orders, track_restored_orders
from qtxconn.core.pubsub import PubSub
from qtxconn.core.types import OrderState, OrderType, OrderUpdate, PositionAction, TradeType
from qtxconn.errors import (
    AmountError,
    ConfigurationError,
    NotReadyError,
    OrderNotFoundError,
    OrderValidationError,
    OutcomeUnknownError,
    QtxconnError,
    RateLimitedError,
    VenueError,
    is_definite_refusal,
)


class CancellationResult(NamedTuple):
    order_id: str
    success: bool


cdef class ConnectorBase(ConnectorHooks):
    """Base of every connector. All methods are for the event loop's thread.

    `trading_pairs` are named BTC-USDT; without `trading_required` only market data is used and no key is needed.
    `client_order_id_prefix` stands before the digits of every client order id, where a venue wants a broker's mark.
    With a `journal` (qtxconn.storage.journal.OrderJournal) orders survive the end of the process, however it ends.
    """

    def __cinit__(self, *args, **kwargs):
        self._trading_rules = {}
        self._order_books = {}
        self._pair_of_symbol = {}
        self._symbol_of_pair = {}
        self._balances = {}
        self._order_options = {}
        self._tasks = set()
        self._placing = set()
        self._resolving = {}
        self._lifecycle = asyncio.Lock()

    def __init__(
        self,
        trading_pairs=None,
        bint trading_required=True,
        *,
        Clock clock=SYSTEM_CLOCK,
        str client_order_id_prefix="",
        OrderJournalBase journal=None,
    ):
        if isinstance(trading_pairs, str):
            raise ConfigurationError(f"trading_pairs is a list such as [{trading_pairs!r}], not one text")
        if len(client_order_id_prefix) + 19 > self.client_order_id_max_length:
            raise ConfigurationError(
                f"client_order_id_prefix {client_order_id_prefix!r} is too long: {self.name} takes "
                f"{self.client_order_id_max_length} characters and 19 are needed for the number"
            )
        self._trading_pairs = list(trading_pairs or ())
        self._trading_required = trading_required
        self._clock = clock
        self._logger = logging.getLogger(f"qtxconn.{self.name}")
        self._pubsub = PubSub(self._logger)
        self._client_ids = shared_client_ids()
        self._order_tracker = ClientOrderTracker(
            self._pubsub, clock, client_order_id_prefix=client_order_id_prefix, itemised_fills=self.itemised_fills
        )
        self._journal = self._order_tracker.journal = journal

    # -- identity and state ------------------------------------------------------------------------------------

    def __repr__(self):
        state = "ready" if self.is_ready else "connected" if self._connected else "not connected"
        return f"{type(self).__name__}({', '.join(self._trading_pairs) or 'no pairs'}; {state})"

    def logger(self):
        return self._logger

    @property
    def trading_pairs(self) -> list:
        return list(self._trading_pairs)

    @property
    def trading_rules(self) -> dict:
        """{pair: TradingRule} of the traded pairs; empty before initialize()."""
        return dict(self._trading_rules)

    def get_trading_rule(self, str trading_pair not None):
        """The pair's TradingRule, or None if it is not traded here."""
        return self._trading_rules.get(trading_pair)

    def get_all_trading_rules(self) -> list:
        return list(self._trading_rules.values())

    @property
    def order_books(self) -> dict:
        return dict(self._order_books)

    def get_order_book(self, str trading_pair not None):
        """The pair's OrderBook. Raises OrderValidationError for a pair that is not traded here."""
        self._require_pair(trading_pair)
        return self._order_books[trading_pair]

    @property
    def in_flight_orders(self) -> dict:
        """{client order id: InFlightOrder} of all orders that have not ended."""
        return self._order_tracker.active_orders

    @property
    def is_connected(self) -> bool:
        return self._connected and (self._live or not self._trading_required)

    @property
    def status_dict(self) -> dict:
        """What readiness consists of, each True or False."""
        status = {
            "connected": self._connected,
            "trading_rules": bool(self._trading_rules),
            "order_books": bool(self._order_books) and all(book.valid for book in self._order_books.values()),
        }
        if self._trading_required:
            status["user_stream"] = self._live
            status["account_balance"] = self._balances_known
            if self._journal is not None:
                status["journal"] = self._journal.refusal is None
        return status

    @property
    def is_ready(self) -> bool:
        """Connected, with rules, valid books and a live user stream; `not_ready_reason` says what is missing."""
        return all(self.status_dict.values())

    @property
    def not_ready_reason(self):
        """What is still missing, in one line, or None when ready."""
        missing = [part for part, there in self.status_dict.items() if not there]
        if not missing:
            return None
        books = [f"{pair} {book.invalid_reason}" for pair, book in self._order_books.items() if not book.valid]
        return f"{self.name} is not ready: missing {', '.join(missing)}" + (f" ({'; '.join(books)})" if books else "")

    def current_timestamp_ns(self) -> int:
        return self._clock.c_now_ns()

    @property
    def current_timestamp(self) -> float:
        """Wall time in seconds."""
        return ns_to_seconds(self._clock.c_now_ns())

    # -- balances ----------------------------------------------------------------------------------------------

    def get_balance(self, str asset not None):
        """Total balance of an asset; 0 if the venue lists none."""
        return self._balances.get(asset, (Decimal(0), Decimal(0)))[0]

    def get_available_balance(self, str asset not None):
        return self._balances.get(asset, (Decimal(0), Decimal(0)))[1]

    def get_all_balances(self) -> dict:
        return {asset: total for asset, (total, _) in self._balances.items()}

    def _set_balance(self, str asset, total, available):
        """For exchanges: `available` None leaves the available part as it is (streams that carry only totals)."""
        if available is None:
            available = self.get_available_balance(asset)
        self._balances[asset] = (total, available)
        self._balances_known = True

    # -- symbols -----------------------------------------------------------------------------------------------

    def exchange_symbol_associated_to_pair(self, str trading_pair not None) -> str:
        """The venue's symbol of a pair (BTC-USDT -> BTCUSDT). KeyError if the venue does not trade it."""
        return self._symbol_of_pair[trading_pair]

    def trading_pair_associated_to_exchange_symbol(self, str symbol not None) -> str:
        return self._pair_of_symbol[symbol]

    # -- listeners ---------------------------------------------------------------------------------------------

    def add_listener(self, event_tag, listener):
        """Calls `listener(event)` for every event with this tag (MarketEvent, AccountEvent)."""
        self._pubsub.add_listener(event_tag, listener)

    def remove_listener(self, event_tag, listener):
        self._pubsub.remove_listener(event_tag, listener)

    def set_order_event_listener(self, listener):
        self._pubsub.set_order_event_listener(listener)

    def set_trade_event_listener(self, listener):
        self._pubsub.set_trade_event_listener(listener)

    def set_error_event_listener(self, listener):
        self._pubsub.set_error_event_listener(listener)

    # -- life cycle --------------------------------------------------------------------------------------------

    async def initialize(self):
        """Opens the network and reads the trading rules: quantising and validation work from here on."""
        if self._initialized:
            return
        try:
            await self._start_network()
            await self._update_trading_rules()
        except BaseException:
            await self._stop_network()
            raise
        self._initialized = True

    async def connect(self):
        """Becomes ready to trade, or raises and leaves nothing behind.

        NotReadyError says what did not come in time; ConfigurationError, AuthenticationError and NetworkError name
        what to change.
        """
        async with self._lifecycle:
            if self._connected:
                return
            missing = missing_order_hooks(type(self)) if self._trading_required else []
            if missing:
                raise ConfigurationError(f"{type(self).__name__} cannot trade: it must define {', '.join(missing)}; "
                                         "or make it with trading_required=False")
            self._connecting = asyncio.current_task()
            try:
                await self.initialize()
                restored = track_restored_orders(self)
                if self._trading_required:
                    await self._start_user_stream()
                    self._set_connected(True)
                    await self._update_balances()
                    await self._update_account()
                    await settle_restored_orders(self, restored)
                await self._start_market_data()
                await self._wait_for_books()
            except BaseException:
                await self.disconnect()
                raise
            finally:
                self._connecting = None
            self._connected = True
            if self._trading_required:
                for order in self._order_tracker.active_orders.values():
                    # An earlier connection may have ended without word on it, or on its cancel.
                    self._order_tracker.revert_pending(order)
                    self._resolve(order)
                self._spawn(self._order_refresh_loop(), "order refresh")

    async def disconnect(self):
        """Stops everything this connector started. Orders at the venue stay as they are: cancel_all() ends them."""
        if self._connecting is asyncio.current_task():
            await self._tear_down()     # connect() failed and holds the lock
            return
        async with self._lifecycle:
            await self._tear_down()

    async def _tear_down(self):
        self._connected = self._initialized = False
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        while tasks:
            for task in tasks:
                task.cancel()
            # Again, should one go on: a time-out that expires in the same moment takes the cancellation for its own.
            _, tasks = await asyncio.wait(tasks, timeout=1.0)
        for stop in (self._stop_market_data, self._stop_user_stream, self._stop_network):
            try:
                await stop()
            except Exception:
                self._logger.exception("%s failed while disconnecting; going on", stop.__name__)
        self._set_connected(False)
        self._balances_known = False
        for book in self._order_books.values():
            book.invalidate("disconnected")
        self._trading_rules.clear()

    async def __aenter__(self):
        await self.connect()
        return self

    async def __aexit__(self, *exc_info):
        await self.disconnect()

    def _account_name(self) -> str:
        """For exchanges: what tells the account apart at the venue, such as the API key. Only a hash of it is kept."""
        return ""

    def _set_connected(self, bint live):
        """For exchanges: whether the user stream is up. Orders and fills are still tracked while it is down."""
        self._poll_due = self._poll_due or (live and not self._live)
        self._live = live

    def _spawn(self, coroutine, str name not None):
        """Runs a coroutine until disconnect(). An exception is reported as an error event, never lost."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            coroutine.close()
            raise NotReadyError(f"{self.name} works inside a running asyncio event loop; there is none here") from None
        task = loop.create_task(coroutine, name=f"{self.name} {name}")
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)
        return task

    def _on_task_done(self, task):
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            error = task.exception()
            self._alarm("task", f"{task.get_name()} ended with {type(error).__name__}: {error}", error=error)
            self._logger.error("%s failed", task.get_name(), exc_info=error)

    def _alarm(self, str kind, str message, str order_id=None, error=None):
        self._pubsub.publish_error(ErrorEvent(self.current_timestamp, kind, message, order_id, error))

    async def _update_trading_rules(self):
        rules = await self._request_trading_rules()
        by_pair = {rule.trading_pair: rule for rule in rules}
        for pair in self._trading_pairs:
            if pair not in by_pair:
                near = difflib.get_close_matches(pair.upper(), by_pair, n=3)
                hint = f"; did you mean {' or '.join(near)}?" if near else ""
                raise ConfigurationError(f"{self.name} does not trade {pair!r}{hint}")
        self._symbol_of_pair = {rule.trading_pair: rule.exchange_symbol for rule in rules}
        self._pair_of_symbol = {rule.exchange_symbol: rule.trading_pair for rule in rules}
        for pair in self._trading_pairs:
            rule = by_pair[pair]
            self._trading_rules[pair] = rule
            grid = (rule.min_price_increment, rule.min_base_amount_increment)
            book = self._order_books.get(pair)
            if book is None or (book.tick_size, book.lot_size) != grid:
                self._order_books[pair] = OrderBook(pair, *grid, clock=self._clock)

    async def _wait_for_books(self):
        deadline_ns = self._clock.c_monotonic_ns() + <long long>(self.market_data_timeout_s * 1e9)
        while not all(book.valid for book in self._order_books.values()):
            if self._clock.c_monotonic_ns() > deadline_ns:
                books = "; ".join(f"{pair} {book.invalid_reason}" for pair, book in self._order_books.items()
                                  if not book.valid)
                raise NotReadyError(
                    f"{self.name} is not ready: missing order_books ({books}); "
                    f"no complete book within {self.market_data_timeout_s} s: "
                    "check the market-data host and port, and that the feed carries these pairs"
                )
            await self._clock.sleep(0.005)

    # -- rules -------------------------------------------------------------------------------------------------

    def supported_order_types(self) -> list:
        return [OrderType.LIMIT, OrderType.MARKET]

    def get_maker_order_type(self):
        types = self.supported_order_types()
        return OrderType.LIMIT_MAKER if OrderType.LIMIT_MAKER in types else OrderType.LIMIT

    def get_taker_order_type(self):
        types = self.supported_order_types()
        return OrderType.MARKET if OrderType.MARKET in types else OrderType.LIMIT

    def quantize_order_price(self, str trading_pair not None, price, trade_type=None):
        """`price` on the pair's grid: passive for the given side (a buy rounds down, a sell up), down without one."""
        cdef TradingRule rule = self._require_pair(trading_pair)
        return fixed_to_decimal(rule.c_quantize_price(fixed_from(price), trade_type is TradeType.SELL))

    def quantize_order_amount(self, str trading_pair not None, amount):
        """`amount` rounded down to the pair's lot."""
        cdef TradingRule rule = self._require_pair(trading_pair)
        return fixed_to_decimal(rule.c_quantize_amount(fixed_from(amount)))

    def generate_client_order_id(self) -> str:
        """A client order id that was never used and never will be again."""
        return f"{self._order_tracker.client_order_id_prefix}{self._client_ids.c_next()}"

    def _require_pair(self, str trading_pair):
        rule = self._trading_rules.get(trading_pair)
        if rule is None:
            known = ", ".join(self._trading_rules) or "none yet: call connect() first"
            raise OrderValidationError(f"{self.name} does not trade {trading_pair!r} here; trading pairs: {known}")
        return rule

    # -- placing -----------------------------------------------------------------------------------------------

    def buy(
        self, str trading_pair not None, amount, order_type=OrderType.LIMIT, price=None, *,
        position_action=PositionAction.NIL, **options
    ) -> str:
        """Places a buy order and returns its client order id at once; events tell the rest.

        `amount` in base asset is rounded down to the lot, `price` in quote per base down to the tick (up for a sell).
        When this returns the order is tracked. Raises, with nothing sent and nothing tracked, OrderValidationError
        where the order breaks the rules and NotReadyError before connect() or without `trading_required`.
        """
        return self.c_create_order(
            TradeType.BUY, trading_pair, amount, order_type, price, position_action, options
        ).client_order_id

    def sell(
        self, str trading_pair not None, amount, order_type=OrderType.LIMIT, price=None, *,
        position_action=PositionAction.NIL, **options
    ) -> str:
        """Places a sell order; see buy()."""
        return self.c_create_order(
            TradeType.SELL, trading_pair, amount, order_type, price, position_action, options
        ).client_order_id

    cdef InFlightOrder c_create_order(
        self, object trade_type, str trading_pair, object amount, object order_type, object price,
        object position_action, dict options
    ):
        cdef TradingRule rule = self._require_pair(trading_pair)
        if not (self._connected and self._trading_required):
            raise NotReadyError(self.not_ready_reason or f"{self.name} was made with trading_required=False")
        if order_type not in self.supported_order_types():
            names = ", ".join(kind.name for kind in self.supported_order_types())
            raise OrderValidationError(f"{self.name} does not support {order_type} orders; it supports {names}")
        is_limit = order_type.is_limit_type()
        if not (rule.supports_limit_orders if is_limit else rule.supports_market_orders):
            raise OrderValidationError(f"{trading_pair} takes no {order_type.name} orders at {self.name}")
        if is_limit and price is None:
            raise OrderValidationError(f"a {order_type.name} order needs a price")
        cdef Fixed c_amount = self._exact(amount, "amount")
        cdef Fixed c_price
        if price is not None:
            c_price = self._exact(price, "price")
        try:
            c_amount = rule.c_quantize_amount(c_amount)
            c_price = rule.c_quantize_price(c_price, trade_type is TradeType.SELL)
        except AmountError as error:
            raise OrderValidationError(f"{trading_pair}: {error}") from None
        violation = rule.c_violation(c_price, c_amount, is_limit)
        if violation is not None:
            raise OrderValidationError(violation)
        cdef InFlightOrder order = InFlightOrder(
            self.generate_client_order_id(),
            trading_pair,
            order_type,
            trade_type,
            fixed_to_decimal(c_amount),
            self.current_timestamp,
            fixed_to_decimal(c_price) if c_price.units else None,
            position=self._position_action(trade_type, trading_pair, position_action),
        )
        if self._journal is not None:
            number = self._order_tracker.c_client_id(order.client_order_id)
            self._journal.c_write_order(order, number, self.submit_dead_after_s)
        self._order_tracker.start_tracking_order(order)
        if options:
            self._order_options[order.client_order_id] = options
        try:
            self._submit_order(order)
        except Exception as error:
            if is_definite_refusal(error):
                self._take_order_options(order.client_order_id)
                self._order_tracker.withdraw_order(order, error)
                raise
            self._order_unknown(order.client_order_id, error)
        return order

    def _take_order_options(self, str client_order_id) -> dict:
        """For transports that override _submit_order: the extra keywords of buy() or sell(), handed out once."""
        return self._order_options.pop(client_order_id, {})

    cdef Fixed _exact(self, object value, str what) except *:
        try:
            return fixed_from(value)
        except AmountError as error:
            raise OrderValidationError(f"{what}: {error}") from None

    def _position_action(self, trade_type, str trading_pair, position_action):
        """For derivatives: fills in what the caller left open."""
        return position_action

    def _submit_order(self, InFlightOrder order):
        """Sends a tracked order. Transports that publish without waiting override this and report with
        _order_accepted, _order_rejected or _order_unknown."""
        task = self._spawn(self._place_order_and_process_update(order), f"place {order.client_order_id}")
        task.add_done_callback(lambda _: self._on_place_done(order))

    def _on_place_done(self, InFlightOrder order):
        self._placing.discard(order.client_order_id)
        if order.submitted_ns == 0:     # stopped before its first step
            self._take_order_options(order.client_order_id)
            self._order_rejected(order.client_order_id, NotReadyError("disconnected before the order was sent"))

    async def _place_order_and_process_update(self, InFlightOrder order):
        options = self._take_order_options(order.client_order_id)
        self._placing.add(order.client_order_id)
        self._order_tracker.mark_submitted(order)
        try:
            exchange_order_id, timestamp = await self._place_order(
                order.client_order_id, order.trading_pair, order.amount, order.trade_type, order.order_type,
                order.price, position_action=order.position, **options,
            )
            if not isinstance(exchange_order_id, str):
                raise TypeError(f"_place_order must return (exchange order id as str, seconds), "
                                f"not {exchange_order_id!r}")
            timestamp = float(timestamp)
        except asyncio.CancelledError:
            if order.acked_ns == 0:
                self._order_tracker.mark_unknown(order)
            raise
        except Exception as error:
            if is_definite_refusal(error):
                self._order_rejected(order.client_order_id, error)
            else:
                self._order_unknown(order.client_order_id, error)
        else:
            self._order_accepted(order.client_order_id, exchange_order_id, timestamp)

    def _order_accepted(self, str client_order_id, str exchange_order_id, double timestamp_s):
        """The venue has taken the order; `timestamp_s` by its clock."""
        order = self._order_tracker.fetch_order(client_order_id)
        if order is not None:
            self._order_tracker.process_order_update(
                OrderUpdate(order.trading_pair, timestamp_s, OrderState.OPEN, client_order_id, exchange_order_id)
            )

    def _order_rejected(self, str client_order_id, error):
        """The order certainly does not live at the venue: refused by its word, or by us before sending."""
        order = self._order_tracker.fetch_order(client_order_id)
        if order is not None:
            self._order_tracker.mark_failed(order, error)

    def _order_unknown(self, str client_order_id, error):
        """No answer, or one that says nothing about the order: it stays tracked and is looked up at the venue."""
        order = self._order_tracker.fetch_tracked_order(client_order_id)
        if order is None or order.acked_ns:
            return      # the user stream has shown it meanwhile
        self._order_tracker.mark_unknown(order)
        self._alarm("outcome_unknown", f"{client_order_id}: no word on the order ({type(error).__name__}: {error}); "
                    "asking the venue", client_order_id, error)
        self._resolve(order)

    # -- cancelling --------------------------------------------------------------------------------------------

    def cancel(self, str trading_pair not None, str client_order_id not None) -> bool:
        """Asks the venue to cancel; events tell the result. False, with nothing sent, if the order has ended, is being
        cancelled already, or is not known here."""
        order = self._order_tracker.fetch_tracked_order(client_order_id)
        if order is None or order.trading_pair != trading_pair or order.is_pending_cancel_confirmation:
            return False
        self._order_tracker.mark_pending_cancel(order)
        try:
            self._submit_cancel(order)
        except BaseException:
            self._order_tracker.revert_pending(order)
            raise
        return True

    def adopt_external_order(
        self, str trading_pair not None, str exchange_order_id not None, trade_type, amount, order_type=OrderType.LIMIT,
        price=None, *, str client_order_id=None, position_action=PositionAction.NIL
    ) -> str:
        """Takes in a live order that was not placed here, asks for its state and executions, and returns the id to
        cancel it by; see ClientOrderTracker.adopt_external_order."""
        self._require_pair(trading_pair)
        order = self._order_tracker.adopt_external_order(
            trading_pair, exchange_order_id, trade_type, amount, order_type, price, client_order_id, position_action
        )
        self._resolve(order)
        return order.client_order_id

    async def cancel_all(self, double timeout_seconds=10.0) -> list:
        """Cancels every open order and waits until each has ended: [CancellationResult] with success False for those
        that had not ended in time."""
        orders = list(self._order_tracker.active_orders.values())
        for order in orders:
            self.cancel(order.trading_pair, order.client_order_id)
        waits = [asyncio.ensure_future(order.wait_until_done()) for order in orders]
        if waits:
            try:
                await asyncio.wait(waits, timeout=timeout_seconds)
            finally:
                for wait in waits:
                    wait.cancel()
                await asyncio.gather(*waits, return_exceptions=True)
        return [CancellationResult(order.client_order_id, order.is_done) for order in orders]

    def _submit_cancel(self, InFlightOrder order):
        """Sends a cancel. Transports that publish without waiting override this and report with _cancel_accepted or
        _cancel_failed."""
        task = self._spawn(self._place_cancel_and_process_update(order), f"cancel {order.client_order_id}")
        task.add_done_callback(lambda task: self._on_cancel_done(task, order))

    def _on_cancel_done(self, task, InFlightOrder order):
        if task.cancelled():    # by disconnect(): the order can be cancelled again later
            self._order_tracker.revert_pending(order)

    async def _place_cancel_and_process_update(self, InFlightOrder order):
        try:
            answer = await self._place_cancel(order.client_order_id, order)
        except Exception as error:
            self._cancel_failed(order.client_order_id, error)
        else:
            if isinstance(answer, OrderUpdate):
                self._order_tracker.process_order_update(answer)
            elif not answer:
                self._cancel_failed(order.client_order_id, OutcomeUnknownError("the venue did not confirm the cancel"))
            elif self.is_cancel_request_in_exchange_synchronous:
                self._cancel_accepted(order.client_order_id, 0.0)

    def _cancel_accepted(self, str client_order_id, double timestamp_s, executed_base=None):
        """The venue confirms the cancel; `executed_base` is the executed amount its answer counts, where it says."""
        order = self._order_tracker.fetch_tracked_order(client_order_id)
        if order is not None:
            misc = None if executed_base is None else {"cumulative_base": executed_base}
            self._order_tracker.process_order_update(
                OrderUpdate(order.trading_pair, timestamp_s, OrderState.CANCELED, client_order_id, None, misc)
            )

    def _cancel_failed(self, str client_order_id, error):
        """The cancel did not go through. What became of the order is asked, never assumed."""
        order = self._order_tracker.fetch_tracked_order(client_order_id)
        if order is None:
            return
        settled = isinstance(error, VenueError) and not isinstance(
            error, (OrderNotFoundError, OutcomeUnknownError, RateLimitedError)
        )
        self._order_tracker.revert_pending(order)
        if isinstance(error, OrderNotFoundError):
            self._order_tracker.note_not_found(order)
        if settled:
            self._alarm("cancel_failed", f"{client_order_id}: cancel refused: {error}", client_order_id, error)
        else:
            self._logger.info("%s: cancel unanswered or order not found (%s); asking the venue", client_order_id, error)
        self._resolve(order, None if settled else error)

    # -- finding out -------------------------------------------------------------------------------------------

    def _resolve(self, InFlightOrder order, cancel_error=None):
        """Asks in the background what became of an order; once at a time for each. `cancel_error`: why a cancel was
        not confirmed, reported if the order turns out to be open still."""
        order_id = order.client_order_id
        asking = order_id in self._resolving
        if cancel_error is not None or not asking:
            self._resolving[order_id] = cancel_error
        if asking:
            return None
        task = self._spawn(self._resolve_order(order), f"resolve {order_id}")
        task.add_done_callback(lambda _: self._resolving.pop(order_id, None))
        return task

    async def _resolve_order(self, InFlightOrder order):
        attempt = 0
        since_ns = self._clock.monotonic_ns()
        while order.is_open:
            delay = self.lookup_delays_s[min(attempt, len(self.lookup_delays_s) - 1)]
            attempt += 1
            if delay:
                await self._clock.sleep(delay)
            try:
                await self._refresh_order(order)
            except OrderNotFoundError as error:
                # Evidence only once the request can no longer be accepted; before that it may still be on its way.
                # Counted from the first question, by a clock that no step moves: a single miss ends no order.
                self._order_tracker.note_not_found(order)
                now_ns = self._clock.monotonic_ns()
                if order.is_done:
                    break       # it was refused while we asked
                if order.client_order_id in self._placing:
                    since_ns = now_ns
                elif now_ns - since_ns >= self.submit_dead_after_s * 1e9:
                    self._order_absent(order, error)
            except Exception as error:
                self._logger.info("%s: asking the venue failed (%s); trying again", order.client_order_id, error,
                                  exc_info=None if isinstance(error, QtxconnError) else error)
            else:
                if order.current_state is not OrderState.UNKNOWN and not order.awaits_fills:
                    break
        cancel_error = self._resolving.get(order.client_order_id)
        if cancel_error is not None and order.is_open and not order.is_pending_cancel_confirmation:
            self._alarm("cancel_failed", f"{order.client_order_id}: not cancelled ({cancel_error}); the order is "
                        f"{order.current_state.name}", order.client_order_id, cancel_error)

    def _order_absent(self, InFlightOrder order, error):
        """The venue says, and keeps saying, that there is no such order. One that it never acknowledged has failed;
        one that it had acknowledged has ended there in a way we did not see."""
        if order.acked_ns != 0:
            self._alarm("order_vanished", f"{order.client_order_id}: the venue had accepted it and no longer knows it "
                        f"({error}); it counts as cancelled", order.client_order_id, error)
        self._order_tracker.mark_absent(order, error)

    async def _refresh_order(self, InFlightOrder order):
        """Reads an order's state and fills from the venue and applies both, the fills first."""
        update = await self._request_order_status(order)
        if order.exchange_order_id is None and update.exchange_order_id and update.new_state is not OrderState.FAILED:
            # The first word of it: its fills can only be asked for by the venue's id.
            self._order_accepted(order.client_order_id, update.exchange_order_id, update.update_timestamp)
        counted = (update.misc_updates or {}).get("cumulative_base")
        if counted is None or counted > order.executed_amount_base:
            for fill in await self._all_trade_updates_for_order(order):
                self._order_tracker.process_trade_update(fill)
        self._order_tracker.process_order_update(update)

    async def _order_refresh_loop(self):
        """Every second: orders whose end is reported but whose fills are missing. Every status_poll_interval_s, and
        when the user stream is back: all."""
        elapsed = 0.0
        while True:
            await self._clock.sleep(1.0)
            self._order_tracker.expire()
            elapsed += 1.0
            everything = self._poll_due or elapsed >= self.status_poll_interval_s
            if everything:
                elapsed = 0.0
                self._poll_due = False
            if self._journal is not None:
                self._journal.maintain()
            for order in self._order_tracker.active_orders.values():
                if not (everything or order.awaits_fills):
                    continue
                try:
                    await self._refresh_order(order)
                except OrderNotFoundError:
                    self._order_tracker.note_not_found(order)
                    self._resolve(order)
                except Exception as error:
                    self._logger.info("%s: status poll failed (%s); trying again", order.client_order_id, error,
                                      exc_info=None if isinstance(error, QtxconnError) else error)
                    self._resolve(order)    # what the stream missed is not left to the next poll
                else:
                    self._order_tracker.settle_with_provisional_fill(order, self.provisional_fill_after_s)
