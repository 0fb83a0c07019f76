"""The Binance USD-M futures connector: REST orders, the user stream, and market data of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import orjson

from qtxconn.core.clock import Clock
from qtxconn.core.connectors import PerpetualDerivativeBase
from qtxconn.core.in_flight_order import InFlightOrder
from qtxconn.core.order_journal import OrderJournalBase
from qtxconn.core.trading_rule import TradingRule
from qtxconn.core.types import (
    FeeRates,
    FundingPayment,
    MarginType,
    OrderType,
    OrderUpdate,
    PositionAction,
    PositionMode,
    TradeType,
    TradeUpdate,
)
from qtxconn.errors import (
    ConfigurationError,
    MessageError,
    OrderNotFoundError,
    VenueError,
)
from qtxconn.exchanges.binance import constants, messages
from qtxconn.exchanges.binance.auth import BinanceAuth
from qtxconn.exchanges.binance.scanner import MarketScanner, UserScanner
from qtxconn.net.market_streams import MarketStreams
from qtxconn.net.request_stream import RequestStream
from qtxconn.net.shared_budget import shared_budget
from qtxconn.net.subscribed_stream import SubscribedStream
from qtxconn.net.throttler import RateLimit, Throttler
from qtxconn.net.time_sync import TimeSync
from qtxconn.net.user_stream import UserStream
from qtxconn.net.venue_rest import Endpoint, Security, VenueRest

ORDER_TIMEOUT_S = 10.0
THROTTLE_WAIT_MAX_S = 10.0  # longer than this no order request waits for the rate limit
ORDER_PATHS = ("rest", "websocket")
STREAM_TIMEOUT_S = 10.0
FUNDING_SPAN_MS = 60_000  # a payment is booked within this of the settlement


class BinancePerpetual(PerpetualDerivativeBase):
    """Binance USD-M perpetuals, in one-way or hedge mode.

    Times on the wire are the venue's own, estimated by TimeSync. Orders are sent once, over the path that `order_path`
    names: "rest", or "websocket" (the venue's WebSocket API; while it is down, over REST). The user
    stream is the truth about them. When the stream breaks, it is made again, and what it may have missed is
    read over REST before it counts as live.
    """

    name = "binance_perpetual"
    qtx_venue = "binance-futures"
    client_order_id_letters = constants.CLIENT_ORDER_ID_LETTERS
    client_order_id_max_length = constants.CLIENT_ORDER_ID_LENGTH_MAX
    is_cancel_request_in_exchange_synchronous = True
    supports_amend = supports_cancel_all = supports_open_orders = supports_countdown_cancel = True
    supported_position_modes = (PositionMode.ONEWAY, PositionMode.HEDGE)
    reports_funding_payments = True
    batch_size_max, batch_cancel_size_max = constants.BATCH_SIZE_MAX, constants.BATCH_CANCEL_SIZE_MAX
    order_options = (
        "time_in_force",
        "good_till_date",
        "reduce_only",
        "trigger_price",
        "trigger_source",
        "callback_rate",
    )
    trigger_sources = tuple(constants.TRIGGER_SOURCES)
    times_in_force = ("GTC", "IOC", "FOK", "GTD")
    good_till_ahead_min_s = constants.GOOD_TILL_AHEAD_MIN_S
    submit_dead_after_s = constants.RECV_WINDOW_MS / 1e3 + 5.0  # the venue refuses a request older than its window

    def __init__(
        self,
        binance_perpetual_api_key: str = "",
        binance_perpetual_api_secret: str = "",
        trading_pairs: list[str] | None = None,
        trading_required: bool = True,
        *,
        rest_url: str = constants.REST_URL,
        ws_public_url: str = constants.WS_PUBLIC_URL,
        ws_market_url: str = constants.WS_MARKET_URL,
        ws_private_url: str = constants.WS_PRIVATE_URL,
        ws_trade_url: str = constants.WS_TRADE_URL,
        order_path: str = "rest",
        rate_limits: Iterable[RateLimit] = constants.RATE_LIMITS,
        private_key_passphrase: str = "",
        rate_budget: str = "local",
        position_mode: PositionMode = PositionMode.ONEWAY,
        dead_mans_switch_s: float = 60.0,
        dead_mans_switch_interval_s: float | None = None,
        cancel_on_disconnect: bool = False,
        clock: Clock | None = None,
        client_order_id_prefix: str = "",
        journal: OrderJournalBase | None = None,
    ) -> None:
        super().__init__(
            trading_pairs,
            trading_required,
            position_mode=position_mode,
            dead_mans_switch_s=dead_mans_switch_s,
            dead_mans_switch_interval_s=dead_mans_switch_interval_s,
            cancel_on_disconnect=cancel_on_disconnect,
            clock=clock,
            client_order_id_prefix=client_order_id_prefix,
            journal=journal,
        )
        for key, value in (
            ("binance_perpetual_api_key", binance_perpetual_api_key),
            ("binance_perpetual_api_secret", binance_perpetual_api_secret),
        ):
            if trading_required and not value:
                raise ConfigurationError(f"{key} is missing; trading needs it (or set trading_required=False)")
        if order_path not in ORDER_PATHS:
            raise ConfigurationError(f"order_path: is {order_path!r}; it must be one of {', '.join(ORDER_PATHS)}")
        self._time = TimeSync(self._clock)
        self._auth = BinanceAuth(
            binance_perpetual_api_key,
            binance_perpetual_api_secret,
            lambda: self._time.now_ns() // messages.MS_NS,
            constants.RECV_WINDOW_MS,
            private_key_passphrase,
        )
        self._throttler = Throttler(
            rate_limits,
            self._clock,
            shared_budget(rate_budget, urlsplit(rest_url).netloc, self._auth.key_digest, self._clock),
            self._time.earliest_ns,
        )
        self._rest = VenueRest(
            rest_url,
            clock=self._clock,
            throttler=self._throttler,
            time=self._time,
            authenticators={Security.SIGNED: self._auth.sign, Security.KEY: self._auth.identify},
            parse_error=messages.parse_error_body,
            request_server_ns=self._request_server_ns,
            used_headers=constants.USED_HEADERS,
        )
        self._request = self._rest.call
        self._ws_public_url, self._ws_market_url = ws_public_url, ws_market_url
        self._ws_private_url = ws_private_url
        self._ws_trade_url = ws_trade_url if order_path == "websocket" else None
        self._order_stream: RequestStream | None = None
        self._user_stream: UserStream | None = None
        self._market = MarketStreams(
            self,
            request_snapshot=self._request_depth,
            build_subscription=messages.build_subscription,
            on_message=self._on_market_message,
        )
        self._market_scanner = MarketScanner()
        self._user_scanner = UserScanner(self._order_tracker, self._pair_of)
        self.is_multi_assets_mode = False  # of the account: whether other assets than the quote's margin a position

    def supported_order_types(self) -> list[OrderType]:
        return list(constants.ORDER_TYPES)

    @property
    def status_dict(self) -> dict[str, bool]:
        """Not ready either while the venue wants silence for longer than an order request waits."""
        return super().status_dict | {"rate_limit": self._throttler.pause_s <= THROTTLE_WAIT_MAX_S}

    # -- network -------------------------------------------------------------------------------------------

    async def _start_network(self) -> None:
        await self._rest.start()
        if self._trading_required:
            await self._rest.first_sync()
            self._spawn(self._rest.keep_time(), "time sync")

    async def _stop_network(self) -> None:
        await self._rest.close()

    async def _request_server_ns(self) -> int:
        return messages.parse_server_time(await self._request(constants.SERVER_TIME))

    def _venue_time_s(self) -> float:
        return self._time.earliest_ns() / 1e9

    async def _request_trading_rules(self) -> list[TradingRule]:
        return messages.parse_exchange_info(await self._request(constants.EXCHANGE_INFO))

    def _symbol_param(self, trading_pair: str) -> dict[str, str]:
        return {"symbol": self.exchange_symbol_associated_to_pair(trading_pair)}

    # -- orders --------------------------------------------------------------------------------------------

    async def _place_order(
        self,
        order_id: str,
        trading_pair: str,
        amount: Decimal,
        trade_type: TradeType,
        order_type: OrderType,
        price: Decimal | None,
        position_action: PositionAction = PositionAction.NIL,
        **options: Any,
    ) -> tuple[str, float]:
        symbol = self.exchange_symbol_associated_to_pair(trading_pair)
        is_hedged = self.position_mode is PositionMode.HEDGE
        params = messages.build_order_params(
            order_id, symbol, amount, trade_type, order_type, price, position_action, is_hedged, **options
        )
        endpoint = constants.PLACE_ALGO if order_type.is_conditional() else constants.PLACE_ORDER
        return self._parse_placed(await self._request_order(endpoint, params))

    def _parse_placed(self, answer: dict[str, Any]) -> tuple[str, float]:
        update = self.parse_order_result(answer)
        return update.exchange_order_id, update.update_timestamp

    async def _place_order_batch(
        self, orders: list[InFlightOrder], options: list[dict[str, Any]]
    ) -> list[tuple[str, float] | Exception]:
        is_hedged = self.position_mode is PositionMode.HEDGE
        batch = [
            messages.build_order_params(
                order.client_order_id,
                self.exchange_symbol_associated_to_pair(order.trading_pair),
                order.amount,
                order.trade_type,
                order.order_type,
                order.price,
                order.position,
                is_hedged,
                **more,
            )
            for order, more in zip(orders, options, strict=True)
        ]
        answers = await self._request(constants.PLACE_BATCH, {"batchOrders": orjson.dumps(batch).decode()})
        return messages.parse_batch(answers, self._parse_placed)

    async def _place_cancel_batch(self, orders: list[InFlightOrder]) -> list[OrderUpdate | Exception]:
        ids = orjson.dumps([int(order.exchange_order_id) for order in orders]).decode()
        params = self._symbol_param(orders[0].trading_pair) | {"orderIdList": ids}
        return messages.parse_batch(await self._request(constants.CANCEL_BATCH, params), self.parse_order_result)

    async def _place_cancel(self, order_id: str, tracked_order: InFlightOrder) -> OrderUpdate | bool:
        if self._waits(tracked_order):
            try:
                await self._request_order(constants.CANCEL_ALGO, self._algo_params(tracked_order))
                return True
            except OrderNotFoundError:
                update = await self._request_order_status(tracked_order)
                if update.new_state.is_terminal or messages.algo_id_of(update.exchange_order_id) is not None:
                    raise  # it has ended, or its order is on its way to the book
                self._process_report(update)  # triggered: its order is what is left to cancel
        answer = await self._request_order(constants.CANCEL_ORDER, self._order_params(tracked_order))
        return self.parse_order_result(answer)

    async def _place_amend(
        self, order_id: str, tracked_order: InFlightOrder, price: Decimal, amount: Decimal
    ) -> OrderUpdate:
        params = self._order_params(tracked_order) | messages.build_amend_params(
            tracked_order.trade_type, price, amount
        )
        return self.parse_order_result(await self._request_order(constants.AMEND_ORDER, params))

    async def _place_cancel_all(self, trading_pair: str) -> None:
        """Cancels every open order of the pair at the venue, also those that are not tracked here; the conditional ones
        first, lest one is triggered in between."""
        symbol = self._symbol_param(trading_pair)
        await self._request(constants.CANCEL_ALL_ALGOS, symbol)
        await self._request(constants.CANCEL_ALL, symbol)

    async def _place_countdown_cancel(self, trading_pair: str, timeout_s: float) -> None:
        countdown = {"countdownTime": str(round(timeout_s * 1e3))}
        await self._request(constants.COUNTDOWN_CANCEL, self._symbol_param(trading_pair) | countdown)

    async def _request_open_orders(self, trading_pair: str) -> list[OrderUpdate]:
        symbol = self._symbol_param(trading_pair)
        waiting = await self._request(constants.OPEN_ALGOS, symbol)
        orders = await self._request(constants.OPEN_ORDERS, symbol)  # last: what is triggered moves there
        return messages.parse_algo_orders(waiting, trading_pair) + messages.parse_orders(orders, trading_pair)

    async def _request_order_status(self, tracked_order: InFlightOrder) -> OrderUpdate:
        params = self._order_params(tracked_order)
        if self._waits(tracked_order):
            answer = await self._request(constants.QUERY_ALGO, self._algo_params(tracked_order))
            update = messages.parse_algo_order(answer, tracked_order.trading_pair)
            if messages.algo_id_of(update.exchange_order_id) is not None:
                return update._replace(client_order_id=tracked_order.client_order_id)
            params = self._symbol_param(tracked_order.trading_pair) | {"orderId": update.exchange_order_id}
        update = self.parse_order_result(await self._request(constants.QUERY_ORDER, params))
        return update._replace(client_order_id=tracked_order.client_order_id)

    def _waits(self, order: InFlightOrder) -> bool:
        """Whether it is the algo service that knows the order: a conditional one, not triggered as far as is known."""
        venue_id = order.exchange_order_id
        return order.order_type.is_conditional() if venue_id is None else messages.algo_id_of(venue_id) is not None

    def _algo_params(self, order: InFlightOrder) -> dict[str, str]:
        algo_id = messages.algo_id_of(order.exchange_order_id)
        return {"clientAlgoId": order.client_order_id} if algo_id is None else {"algoId": algo_id}

    def _order_params(self, order: InFlightOrder) -> dict[str, str]:
        """How the venue is told which order is meant: by our id, or by its own for one that was not placed from here or
        was placed by the algo service."""
        symbol = self._symbol_param(order.trading_pair)
        if order.exchange_order_id is not None and (order.is_external or order.order_type.is_conditional()):
            return symbol | {"orderId": order.exchange_order_id}
        return symbol | {"origClientOrderId": order.client_order_id}

    async def _all_trade_updates_for_order(self, order: InFlightOrder) -> list[TradeUpdate]:
        if order.exchange_order_id is None or self._waits(order):
            return []  # fills are found by the exchange's id of the order, which a status query brings
        return await self._request_fills(
            order.trading_pair, {"orderId": order.exchange_order_id}, order.client_order_id
        )

    async def _trade_updates_since(self, trading_pair: str, since_s: float) -> list[TradeUpdate]:
        return await self._request_fills(trading_pair, {"startTime": str(int(since_s * 1e3))})

    async def _request_fills(
        self, trading_pair: str, first: dict[str, str], client_order_id: str = ""
    ) -> list[TradeUpdate]:
        """All fills from the first page's condition on."""
        params = self._symbol_param(trading_pair) | {"limit": str(constants.FILLS_PER_PAGE)}
        fills: dict[int, TradeUpdate] = {}
        last = first
        while True:
            answer = await self._request(constants.USER_TRADES, params | last)
            page = messages.parse_user_trades(answer, trading_pair, client_order_id)
            new = {int(fill.trade_id): fill for fill in page if int(fill.trade_id) not in fills}
            fills |= new
            if not new or len(page) < constants.FILLS_PER_PAGE:  # nothing new: fromId was not heeded
                break
            last = {name: value for name, value in first.items() if name != "startTime"}  # not together with fromId
            last["fromId"] = str(max(fills) + 1)
        return list(fills.values())

    async def _request_order(self, endpoint: Endpoint, params: dict[str, str]) -> Any:
        """One request that changes an order: over the WebSocket API where that is the order path, up and answering."""
        return await self._rest.call_over(self._order_stream, endpoint, params)

    async def _start_order_stream(self, url: str) -> None:
        self._order_stream = stream = RequestStream(
            url,
            clock=self._clock,
            throttler=self._throttler,
            build_request=self._build_ws_request,
            parse_answer=messages.parse_ws_answer,
            on_timestamp_error=self._rest.sync_time,
            logon_method=constants.WS_LOGON if self._auth.can_log_on else "",
            handshake_weights=constants.WS_HANDSHAKE_WEIGHTS,
            logon_weights=constants.WS_LOGON_WEIGHTS,
            name=f"{self.name} order stream",
            timeout_s=ORDER_TIMEOUT_S,
            wait_max_s=THROTTLE_WAIT_MAX_S,
        )
        self._spawn(stream.run(), "order stream")
        await stream.wait_live(STREAM_TIMEOUT_S)

    def _build_ws_request(self, request_id: str, method: str, params: Mapping[str, str], in_session: bool) -> str:
        complete = self._auth.stamp_params if in_session else self._auth.sign_params
        return orjson.dumps({"id": request_id, "method": method, "params": complete(params)}).decode()

    def parse_error(self, code: int | None, message: str, http_status: int | None = None) -> VenueError:
        return messages.parse_error(code, message, http_status)

    def parse_order_result(self, payload: dict[str, Any]) -> OrderUpdate:
        """The OrderUpdate of an order object, of an algo order too, as REST and WebSocket API answer it."""
        symbol = messages.parse_symbol(payload, "symbol")
        pair = self._pair_of(symbol)
        if pair is None:
            raise MessageError(f"Binance order: unknown symbol {symbol!r}")
        return messages.parse_algo_order(payload, pair) if "algoId" in payload else messages.parse_order(payload, pair)

    def _account_name(self) -> str:
        return self._auth.key_digest

    # -- account -------------------------------------------------------------------------------------------

    async def _update_balances(self) -> None:
        venue_s = self._venue_time_s()
        for balance in messages.parse_balances(await self._request(constants.BALANCES)):
            self._set_balance(balance.asset, balance.total, balance.available, venue_s)

    async def _update_positions(self) -> None:
        venue_s = self._venue_time_s()
        answer = await self._request(constants.POSITIONS)
        self._set_positions(messages.parse_positions(answer, self._pair_of), venue_s)

    async def _request_position_mode(self) -> PositionMode:
        answer = await self._request(constants.ACCOUNT_CONFIG)
        mode, self.is_multi_assets_mode = messages.parse_account_config(answer)
        return mode

    async def _set_trading_pair_leverage(self, trading_pair: str, leverage: int) -> None:
        await self._request(constants.LEVERAGE, self._symbol_param(trading_pair) | {"leverage": str(leverage)})

    async def request_fee_rates(self, trading_pair: str) -> FeeRates:
        """What the account pays on the pair now."""
        return messages.parse_fee_rates(await self._request(constants.FEE_RATES, self._symbol_param(trading_pair)))

    async def _place_position_mode(self, mode: PositionMode) -> None:
        is_hedged = "true" if mode is PositionMode.HEDGE else "false"
        await self._request_setting(constants.SET_POSITION_MODE, {"dualSidePosition": is_hedged})

    async def _place_margin_type(self, trading_pair: str, margin_type: MarginType) -> None:
        word = "ISOLATED" if margin_type is MarginType.ISOLATED else "CROSSED"
        await self._request_setting(constants.MARGIN_TYPE, self._symbol_param(trading_pair) | {"marginType": word})

    async def _request_setting(self, endpoint: Endpoint, params: dict[str, str]) -> None:
        try:
            await self._request(endpoint, params)
        except VenueError as error:
            if error.code not in constants.NO_CHANGE_CODES:
                raise

    async def _request_funding_payments(self, since_s: float) -> list[FundingPayment]:
        params = {"incomeType": "FUNDING_FEE", "limit": str(constants.INCOME_PER_PAGE)}
        if since_s:
            params["startTime"] = str(int(since_s * 1e3))
        payments: list[FundingPayment] = []
        for number in itertools.count(1):
            page = await self._request(constants.INCOME, params | {"page": str(number)})
            payments += messages.parse_funding_payments(page, self._pair_of)
            if not since_s or len(page) < constants.INCOME_PER_PAGE:
                break
        return payments

    async def _request_settled_funding_rate(self, trading_pair: str, timestamp_s: float) -> Decimal | None:
        around_ms = int(timestamp_s * 1e3)
        span = {"startTime": str(around_ms - FUNDING_SPAN_MS), "endTime": str(around_ms + FUNDING_SPAN_MS)}
        params = self._symbol_param(trading_pair) | span
        return messages.parse_settled_rate(await self._request(constants.FUNDING_RATES, params))

    # -- user stream ---------------------------------------------------------------------------------------

    async def _start_user_stream(self) -> None:
        self._user_stream = UserStream(
            self,
            self._request_user_stream_url,
            on_event=self._on_user_message,
            renew_key=partial(self._request, constants.LISTEN_KEY_RENEW),
            renewal_s=constants.LISTEN_KEY_RENEWAL_S,
        )
        await self._user_stream.start(STREAM_TIMEOUT_S)
        if self._ws_trade_url is not None:
            await self._start_order_stream(self._ws_trade_url)

    async def _stop_user_stream(self) -> None:
        for stream in (self._order_stream, self._user_stream):
            if stream is not None:
                await stream.close()
        self._order_stream = self._user_stream = None

    async def _request_user_stream_url(self) -> str:
        key = messages.parse_listen_key(await self._request(constants.LISTEN_KEY_CREATE))
        return f"{self._ws_private_url}/ws?listenKey={key}"

    def _on_user_message(self, data: str | bytes, received_ns: int, monotonic_ns: int) -> None:
        if self._user_scanner.process_message(data):
            self._balances_changed()
            return
        event = messages.parse_event(data)
        match event.get("e"):
            case "ORDER_TRADE_UPDATE":
                self._on_order_trade_update(event)
            case "ALGO_UPDATE":
                self._on_algo_update(event)
            case "ACCOUNT_UPDATE":
                self._on_account_update(event)
            case "ACCOUNT_CONFIG_UPDATE":
                self._on_account_config_update(event)
            case "MARGIN_CALL":
                self._on_margin_call(event)
            case "listenKeyExpired":
                self._spawn(self._user_stream.reconnect(), "listen key expired")
            # TRADE_LITE repeats a fill without its fee; ORDER_TRADE_UPDATE is the truth.

    def _on_order_trade_update(self, event: dict[str, Any]) -> None:
        pair = self._pair_of(messages.parse_symbol(event, "o", "s"))
        if pair is None:
            return
        self._process_report(*messages.parse_order_trade_update(event, pair))
        self._balances_changed()

    def _on_algo_update(self, event: dict[str, Any]) -> None:
        pair = self._pair_of(messages.parse_symbol(event, "o", "s"))
        if pair is None:
            return
        update, is_finished = messages.parse_algo_update(event, pair)
        order = self._order_tracker.fetch_order(update.client_order_id, f"{messages.ALGO_PREFIX}{event['o']['aid']}")
        if order is not None:
            update = update._replace(client_order_id=order.client_order_id)
        self._process_report(update)
        if order is not None and is_finished and order.is_open:
            self._resolve(order)  # how the order that it placed has ended

    def _on_account_update(self, event: dict[str, Any]) -> None:
        update = messages.parse_account_update(event, self._pair_of)
        for balance in update.balances:
            self._set_balance(balance.asset, balance.total, None, update.venue_s)
        for position in update.positions:
            self._set_position(position, update.venue_s)
        self._balances_changed()
        if update.reason == "FUNDING_FEE":
            self._funding_paid()

    def _on_account_config_update(self, event: dict[str, Any]) -> None:
        update = messages.parse_account_config_update(event)
        if update.leverage is not None and (pair := self._pair_of(update.leverage[0])) is not None:
            self._set_leverage(pair, update.leverage[1], update.venue_s)
        if update.is_multi_assets_mode is not None:
            self.is_multi_assets_mode = update.is_multi_assets_mode

    def _on_margin_call(self, event: dict[str, Any]) -> None:
        for position, mark_price, maintenance_margin in messages.parse_margin_call(event, self._pair_of):
            self._margin_called(position, mark_price, maintenance_margin)

    # -- market data ---------------------------------------------------------------------------------------

    async def _start_market_data(self) -> None:
        await self._start_order_books()
        await self._start_funding_info()

    async def _start_order_books(self) -> None:
        """Books, tickers and trades of all trading pairs from the public streams."""
        feeds = self._market.start_books()
        for symbol, feed in feeds.items():
            self._market_scanner.add_book(symbol, feed)
        streams = [f"{symbol.lower()}@{name}" for symbol in feeds for name in ("depth@100ms", "bookTicker", "trade")]
        await self._market.connect(f"{self._ws_public_url}/ws", "public stream", streams, feeds.values())

    async def _start_funding_info(self) -> None:
        """Mark and index prices and funding rates of all trading pairs: once over REST, then from the stream."""
        streams = []
        for pair in self._trading_pairs:
            symbol = self.exchange_symbol_associated_to_pair(pair)
            answer = await self._request(constants.PREMIUM_INDEX, {"symbol": symbol})
            self._set_funding_info(messages.parse_premium_index(answer, pair))
            streams.append(f"{symbol.lower()}@markPrice@1s")
        await self._market.connect(f"{self._ws_market_url}/ws", "market stream", streams)

    async def _stop_market_data(self) -> None:
        await self._market.close()
        self._market_scanner.remove_books()

    async def request_raw_depth(self, symbol: str) -> dict[str, Any]:
        """The venue's own answer to a depth request, its deepest."""
        return await self._request(constants.DEPTH, {"symbol": symbol, "limit": str(constants.DEPTH_LIMIT)})

    async def _request_depth(self, symbol: str) -> messages.DepthSnapshot:
        return messages.parse_depth_snapshot(await self.request_raw_depth(symbol), self._clock.now_ns())

    def _on_market_message(self, stream: SubscribedStream, data: str | bytes, received_ns: int) -> None:
        if self._market_scanner.process_message(data, received_ns):
            return
        event = messages.parse_event(data)
        if "e" in event:
            self._on_market_event(event, received_ns)
        else:
            stream.resolve(*messages.parse_subscription_answer(event))

    def _on_market_event(self, event: dict[str, Any], received_ns: int) -> None:
        symbol = messages.parse_symbol(event, "s")
        pair = self._pair_of(symbol)
        if pair is None:
            return
        match event["e"]:
            case "depthUpdate":
                self._market.feeds[symbol].process_diff(messages.parse_depth_diff(event, received_ns))
            case "bookTicker":
                self._set_book_ticker(pair, messages.parse_book_ticker(event))
            case "trade":
                trade = messages.parse_trade(event)
                self._order_books[pair].apply_trade(
                    trade.price, trade.amount, trade.taker_side is TradeType.BUY, received_ns
                )
            case "markPriceUpdate":
                self._set_funding_info(messages.parse_mark_price(event, pair))
