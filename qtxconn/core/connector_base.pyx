"""The base of every connector: its state, balances, books and listeners, and how it becomes ready and goes.

An exchange subclasses PerpetualDerivativeBase or SpotExchangeBase (qtxconn.core.connectors) and writes the hooks of
connector_hooks.pyx; everything else is done here and in connector_orders.pyx.
"""

import asyncio
import difflib
import logging
from decimal import Decimal

from qtxconn.core.client_order_tracker cimport ClientOrderTracker
from qtxconn.core.clock cimport Clock
from qtxconn.core.connector_orders cimport ConnectorOrders
from qtxconn.core.in_flight_order cimport ns_to_seconds
from qtxconn.core.order_book cimport OrderBook
from qtxconn.core.order_journal cimport OrderJournalBase

from qtxconn.core.book_types import BookTicker
from qtxconn.core.connector_hooks import missing_order_hooks
from qtxconn.core.dead_mans_switch import DeadMansSwitch
from qtxconn.core.environment import environment
from qtxconn.core.order_restore import settle_restored_orders, track_restored_orders
from qtxconn.core.pubsub import PubSub
from qtxconn.core.types import PriceType
from qtxconn.errors import ConfigurationError, NotReadyError, OrderValidationError, QtxconnError

BALANCE_REFRESH_S = 1.0     # available balances are not streamed: read after account events, this often at most
RECOVERY_OVERLAP_S = 60.0   # executions are read again from this long before the user stream broke
DAMAGE_INTERVAL_S = 5.0
CLOCK_STEP_S = 60.0         # what is older by more than this was said after the venue's clock was set back

_BOOK_PRICES = {
    PriceType.MidPrice: "mid_price",
    PriceType.BestBid: "best_bid",
    PriceType.BestAsk: "best_ask",
    PriceType.LastTrade: "last_trade_price",
}


cdef class ConnectorBase(ConnectorOrders):
    """Base of every connector. All methods are for the event loop's thread.

    `trading_pairs` are named BTC-USDT; without `trading_required` only market data is used and no key is needed.
    `client_order_id_prefix` stands before the digits of every client order id, where a venue wants a broker's mark.
    `clock`, by default, and the ids come from the environment in use (qtxconn.core.environment).
    With `dead_mans_switch_s` the venue cancels the orders of the pairs in use when it has heard nothing from here for
    that long (qtxconn.core.dead_mans_switch; 0: off); with `cancel_on_disconnect` disconnect() cancels them first.
    With a `journal` (qtxconn.storage.journal.OrderJournal) orders survive the end of the process, however it ends.
    """

    def __cinit__(self, *args, **kwargs):
        self._order_books = {}
        self._book_tickers = {}
        self._pair_of_symbol = {}
        self._symbol_of_pair = {}
        self._balances = {}
        self._news_s = {}
        self._lifecycle = asyncio.Lock()

    def __init__(
        self,
        trading_pairs=None,
        bint trading_required=True,
        *,
        Clock clock=None,
        str client_order_id_prefix="",
        OrderJournalBase journal=None,
        double dead_mans_switch_s=0.0,
        dead_mans_switch_interval_s=None,
        bint cancel_on_disconnect=False,
    ):
        if isinstance(trading_pairs, str):
            raise ConfigurationError(f"trading_pairs is a list such as [{trading_pairs!r}], not one text")
        pairs = list(trading_pairs or ())
        twice = sorted({pair for pair in pairs if pairs.count(pair) > 1})
        if twice:
            raise ConfigurationError(f"trading_pairs names {', '.join(twice)} more than once")
        if not all(letter in self.client_order_id_letters for letter in client_order_id_prefix):
            raise ConfigurationError(
                f"client_order_id_prefix {client_order_id_prefix!r}: {self.name} takes the characters "
                f"{self.client_order_id_letters}"
            )
        digits = len(str((1 << self.client_order_id_bits) - 1))
        if len(client_order_id_prefix) + digits > self.client_order_id_max_length:
            raise ConfigurationError(
                f"client_order_id_prefix {client_order_id_prefix!r} is too long: {self.name} takes "
                f"{self.client_order_id_max_length} characters and {digits} are needed for the number"
            )
        self._trading_pairs = pairs
        self._trading_required = trading_required
        surroundings = environment()
        self._clock = surroundings.clock if clock is None else clock
        self._logger = logging.getLogger(f"qtxconn.{self.name}")
        self._pubsub = PubSub(self._logger)
        self._client_ids = surroundings.client_ids(self.name, self.client_order_id_bits)
        self._order_tracker = self._make_order_tracker(client_order_id_prefix)
        self._order_tracker.market_price = self._market_price
        self._journal = self._order_tracker.journal = journal
        self._cancel_on_disconnect = cancel_on_disconnect
        if dead_mans_switch_s and trading_required:
            self._dead_mans_switch = DeadMansSwitch(self, dead_mans_switch_s, dead_mans_switch_interval_s)

    def _make_order_tracker(self, str client_order_id_prefix):
        """For who tracks in another way: the tracker of a new connector."""
        return ClientOrderTracker(
            self._pubsub, self._clock, client_order_id_prefix=client_order_id_prefix, itemised_fills=self.itemised_fills
        )

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

    # Hummingbot's names for what the books and rules know. Prices are Decimals in quote per base, None where the book
    # has no such price; whether it is to be trusted its `valid` says. All raise OrderValidationError for a pair that is
    # not traded here.

    def get_mid_price(self, str trading_pair not None):
        return self.get_order_book(trading_pair).mid_price

    def get_price(self, str trading_pair not None, bint is_buy):
        """The best price to buy at (the ask), or to sell at (the bid)."""
        return self.get_order_book(trading_pair).get_price(is_buy)

    def get_price_by_type(self, str trading_pair not None, price_type):
        """The price that a PriceType names: MidPrice, BestBid, BestAsk or LastTrade of the book."""
        book = self.get_order_book(trading_pair)
        try:
            return getattr(book, _BOOK_PRICES[price_type])
        except KeyError:
            names = ", ".join(f"PriceType.{known.name}" for known in _BOOK_PRICES)
            raise OrderValidationError(f"a book has no {price_type}; it has {names}") from None

    def get_vwap_for_volume(self, str trading_pair not None, bint is_buy, volume):
        """OrderBook.get_vwap_for_volume of the pair's book; the other queries are asked of the book itself."""
        return self.get_order_book(trading_pair).get_vwap_for_volume(is_buy, volume)

    def get_book_ticker(self, str trading_pair not None):
        """BookTicker, the newest best prices: the book's, or those of a ticker that is ahead of it by the venue's count
        of updates. None while the book is not valid."""
        cdef OrderBook book = self.get_order_book(trading_pair)
        if not book.valid:
            return None
        since_ns, ticker = self._book_tickers.get(trading_pair, (0, None))
        if ticker is not None and since_ns == book.valid_since_ns and ticker.update_id > book.last_update_id:
            return ticker
        return BookTicker(
            book.last_update_id, book.best_bid, book.best_bid_size, book.best_ask, book.best_ask_size
        )

    def _set_book_ticker(self, str trading_pair, ticker):
        """For exchanges whose tickers count updates as their books do: takes the newest one. One from before the book
        was last lost says nothing any more."""
        since_ns = self._order_books[trading_pair].valid_since_ns
        known_since_ns, known = self._book_tickers.get(trading_pair, (since_ns, None))
        if known is None or known_since_ns != since_ns or ticker.update_id > known.update_id:
            self._book_tickers[trading_pair] = since_ns, ticker

    def get_order_price_quantum(self, str trading_pair not None, price=None):
        """The pair's tick, in quote per base; it is the same at every price."""
        return self._require_pair(trading_pair).min_price_increment

    def get_order_size_quantum(self, str trading_pair not None, order_size=None):
        """The pair's lot, in base asset; it is the same for every size."""
        return self._require_pair(trading_pair).min_base_amount_increment

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
            "trading_rules": self._initialized,
            "order_books": self._initialized and all(book.valid for book in self._order_books.values()),
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

    def _market_price(self, str trading_pair):
        book = self._order_books.get(trading_pair)
        return None if book is None else book.last_trade_price or book.mid_price

    # -- balances ----------------------------------------------------------------------------------------------

    def get_balance(self, str asset not None):
        """Total balance of an asset; 0 if the venue lists none."""
        return self._balances.get(asset, (Decimal(0), Decimal(0)))[0]

    def get_available_balance(self, str asset not None):
        return self._balances.get(asset, (Decimal(0), Decimal(0)))[1]

    @property
    def available_balances(self) -> dict:
        """{asset: available balance} of every asset that the venue lists."""
        return {asset: available for asset, (_, available) in self._balances.items()}

    def get_all_balances(self) -> dict:
        return {asset: total for asset, (total, _) in self._balances.items()}

    def _set_balance(self, str asset, total, available, double venue_s=0.0):
        """For exchanges: `available` None leaves the available part as it is (streams that carry only totals). With
        `venue_s`, the venue's time of the message or before the request, an older word than the newest is left out."""
        if not self._is_news(asset, venue_s):
            return
        if available is None:
            available = self.get_available_balance(asset)
        self._balances[asset] = (total, available)
        self._balances_known = True

    def _is_news(self, key, double venue_s) -> bool:
        """Whether no newer word on this was heard; the order in which words arrive is not that in which they were said.
        A venue's clock that was set back does not silence it."""
        if not venue_s:
            return True
        if self._news_s.get(key, 0.0) - CLOCK_STEP_S < venue_s < self._news_s.get(key, 0.0):
            return False
        self._news_s[key] = venue_s
        return True

    def _balances_changed(self):
        """For exchanges whose streams leave out what is available: balances are read soon, once for many calls."""
        if not self._balances_stale:
            self._balances_stale = True
            self._spawn(self._refresh_balances(), "balances")

    async def _refresh_balances(self):
        try:
            while self._balances_stale:
                await self._clock.sleep(BALANCE_REFRESH_S)
                self._balances_stale = False
                try:
                    await self._update_balances()
                except QtxconnError as error:
                    self._balances_stale = True
                    self._logger.warning("balances could not be read: %s; trying again", error)
        finally:
            self._balances_stale = False

    # -- symbols -----------------------------------------------------------------------------------------------

    def exchange_symbol_associated_to_pair(self, str trading_pair not None) -> str:
        """The venue's symbol of a pair (BTC-USDT -> BTCUSDT). KeyError if the venue does not trade it."""
        return self._symbol_of_pair[trading_pair]

    def trading_pair_associated_to_exchange_symbol(self, str symbol not None) -> str:
        return self._pair_of_symbol[symbol]

    def _pair_of(self, str symbol not None):
        """For exchanges: the trading pair of a symbol, or None if it is none that trades here."""
        return self._pair_of_symbol.get(symbol)

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
            missing = missing_order_hooks(self) if self._trading_required else []
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
                self._spawn(self._account_refresh_loop(), "account refresh")
                if self._dead_mans_switch is not None:
                    self._spawn(self._dead_mans_switch.run(), "dead-man's switch")

    async def disconnect(self):
        """Stops everything this connector started. Orders at the venue stay as they are, unless the connector was made
        with `cancel_on_disconnect`: cancel_all() ends them."""
        if self._connecting is asyncio.current_task():
            await self._tear_down()     # connect() failed and holds the lock
            return
        async with self._lifecycle:
            if self._cancel_on_disconnect and self._connected and self._trading_required:
                left = [result.order_id for result in await self.cancel_all() if not result.success]
                if left:
                    self._logger.error("disconnecting while orders may be open: %s", ", ".join(left))
            await self._tear_down()

    async def _tear_down(self):
        self._connected = self._initialized = False
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        while tasks:
            for task in tasks:
                task.cancel()
            # Again, should one go on: a time-out that expires in the same moment takes the cancellation for its own.
            _, tasks = await asyncio.wait(tasks, timeout=1.0)
        if self._dead_mans_switch is not None:
            await self._dead_mans_switch.release()
        for stop in (self._stop_market_data, self._stop_user_stream, self._stop_network):
            try:
                await stop()
            except Exception:
                self._logger.exception("%s failed while disconnecting; going on", stop.__name__)
        self._set_connected(False)
        self._balances_known = False
        self._news_s.clear()
        self._book_tickers.clear()
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

    # -- a user stream that broke ------------------------------------------------------------------------------

    async def _recover(self):
        """For exchanges: reads what the user stream may have missed since it broke, before it counts as live again.
        Raises what the venue's answers raise: then it must be done again."""
        self._recovered_ns = self._clock.c_monotonic_ns()
        await self._recover_orders(self._stream_broke_s - RECOVERY_OVERLAP_S)
        await self._refresh_account()

    async def _refresh_account(self):
        """Reads what the account's events tell, should one of them be lost."""
        await self._update_balances()

    async def _account_refresh_loop(self):
        """Every status_poll_interval_s: a stream can lose a message without breaking."""
        while True:
            await self._clock.sleep(self.status_poll_interval_s)
            try:
                await self._refresh_account()
            except Exception as error:
                self._logger.info("the account could not be read: %s; trying again", error,
                                  exc_info=None if isinstance(error, QtxconnError) else error)

    def _user_stream_damaged(self, error):
        """For exchanges: a message could not be read. What it may have said is asked, at once, though not more often
        than every DAMAGE_INTERVAL_S."""
        if self._recovering is None:
            self._alarm("user_stream", f"a message could not be read ({type(error).__name__}); asking the venue",
                        error=error)
            self._stream_broke_s = self._venue_time_s()
            self._recovering = self._spawn(self._recover_from_damage(), "recovery")

    async def _recover_from_damage(self):
        try:
            wait_ns = self._recovered_ns + <long long>(DAMAGE_INTERVAL_S * 1e9) - self._clock.c_monotonic_ns()
            if self._recovered_ns and wait_ns > 0:
                await self._clock.sleep(wait_ns / 1e9)
            self._recovering = None     # what is damaged from here on is not in the answers
            await self._recover()
        except QtxconnError as error:
            self._logger.warning("what a damaged message said could not be read: %s; the poll will", error)
            self._poll_due = True
        finally:
            if self._recovering is asyncio.current_task():
                self._recovering = None

    def _set_connected(self, bint live):
        """For exchanges: whether the user stream is up. Orders and fills are still tracked while it is down."""
        if self._live and not live:
            self._stream_broke_s = self._venue_time_s()
        self._poll_due = self._poll_due or (live and not self._live)
        self._live = live

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
