"""The hybrid connector: an exchange's own connector with QTX market data and QTX shared-memory orders."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import types
import weakref
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Protocol, runtime_checkable

from qtxconn.core.environment import environment
from qtxconn.core.in_flight_order import InFlightOrder
from qtxconn.core.types import OrderType, PositionAction, PositionMode, TradeType
from qtxconn.errors import (
    ConfigurationError,
    MessageError,
    NotReadyError,
    OrderRejectedError,
    OrderValidationError,
    OutcomeUnknownError,
    QtxconnError,
    QueueFullError,
    RequestTimeoutError,
    SegmentError,
    is_definite_refusal,
)
from qtxconn.net.backoff import Backoff
from qtxconn.perf.latency import LatencyRecorder
from qtxconn.qtx.answers import Accepted, Refused, parse_answer
from qtxconn.qtx.config import EXCHANGE_CONNECTOR_CLASSES, QtxConnectorConfig
from qtxconn.qtx.order_queue import (
    MODE_CANCEL,
    MODE_PLACE,
    MODE_REGISTER_KEY,
    QUEUE_CLOSED,
    QUEUE_REPLACED,
    SIDE_BUY,
    SIDE_SELL,
    TYPE_FOK,
    TYPE_GTC,
    TYPE_IOC,
    TYPE_POST_ONLY,
    OrderQueue,
    QueueAnswer,
)
from qtxconn.qtx.symbols import qtx_symbol
from qtxconn.qtx.udp_feed import UdpFeed

_ORDER_TYPE_OF_TIME_IN_FORCE = {None: TYPE_GTC, "GTC": TYPE_GTC, "IOC": TYPE_IOC, "FOK": TYPE_FOK}


@runtime_checkable
class QtxConnectorProtocol(Protocol):
    """A hybrid connector, for annotations. Methods only, so that issubclass() works."""

    def describe_overrides(self) -> list[str]: ...

    async def connect(self) -> None: ...

    async def disconnect(self) -> None: ...

    def buy(self, trading_pair: str, amount: Decimal, order_type: OrderType, price: Decimal | None) -> str: ...

    def sell(self, trading_pair: str, amount: Decimal, order_type: OrderType, price: Decimal | None) -> str: ...

    def cancel(self, trading_pair: str, client_order_id: str) -> bool: ...


@dataclass(slots=True)
class _Request:
    """A published slot that has no answer yet."""

    mode: int
    client_order_id: str
    deadline_ns: int  # monotonic
    expired: bool = False
    registered: asyncio.Future[None] | None = None


class QtxHybridMixin:
    """Stands before an exchange's class and replaces its market data, and with a segment name its order path.

    Market data comes over UDP into the books. Orders and cancels are published to shared memory inside `buy()`,
    `sell()` and `cancel()`; answers arrive on the event loop. Everything else, above all the user stream and order
    queries, stays the exchange's: an order without an answer in time is UNKNOWN and is looked up there. Without a
    segment name orders take the exchange's own path, and so does always what a slot cannot say: a conditional order,
    one that is reduce-only (PositionAction.CLOSE is), and options other than time_in_force GTC, IOC and FOK.
    """

    qtx_venue: str  # the exchange class declares it: "binance-futures"

    def __init__(self, exchange_backend: str | None = None, *, client_config_map: Any = None, **options: Any) -> None:
        """Takes every key of QtxConnectorConfig and every option of the exchange's own constructor.

        `client_config_map` is accepted for Hummingbot's callers; nothing in it is used. `exchange_backend` matters
        only to QtxPerpetualDerivative, which picks the class by it.
        """
        exchange_class = self.exchange_class
        credentials = {
            "exchange_api_key": f"{exchange_class.name}_api_key",
            "exchange_api_secret": f"{exchange_class.name}_api_secret",
            "exchange_passphrase": f"{exchange_class.name}_passphrase",
        }
        settings = {key: options.pop(key) for key in list(options) if key in QtxConnectorConfig.model_fields}
        config = QtxConnectorConfig.parse(exchange_backend=exchange_backend, **settings)
        accepted = inspect.signature(exchange_class.__init__).parameters
        _refuse_unknown_options(options, [*accepted, *QtxConnectorConfig.model_fields])
        for key, keyword in credentials.items():
            secret = getattr(config, key).get_secret_value()
            if secret and keyword in accepted:
                options[keyword] = secret
        super().__init__(trading_pairs=list(config.trading_pairs), trading_required=config.trading_required, **options)
        self.qtx_config = config
        if self._uses_queue:  # a slot holds one order, sooner than any request
            self.batch_size_max = self.batch_cancel_size_max = 0
            self.supports_cancel_all = False
            self.reads_order_answers = True
            if getattr(self, "position_mode", None) is PositionMode.HEDGE:
                raise ConfigurationError("position_mode: the order queue has no position side; it must be ONEWAY")
            self.supported_position_modes = (PositionMode.ONEWAY,)
        self._qtx_feed: UdpFeed | None = None
        self._qtx_queue: OrderQueue | None = None
        self._qtx_requests: dict[int, _Request] = {}  # by slot, oldest first
        self._qtx_bypassing: weakref.WeakSet[InFlightOrder] = weakref.WeakSet()  # orders that no slot held
        self._qtx_registered = False  # the order manager has our key: orders may follow
        self._qtx_reopening: asyncio.Task[None] | None = None
        self.book_to_slot_latency = LatencyRecorder("book -> order slot")
        self.slot_to_answer_latency = LatencyRecorder("slot -> answer")

    @classmethod
    def describe_overrides(cls) -> list[str]:
        """The exchange's methods that this class replaces or extends."""
        return sorted(
            name
            for name, member in vars(QtxHybridMixin).items()
            if inspect.isfunction(member) and name != "__init__" and hasattr(cls.exchange_class, name)
        )

    @property
    def udp_manager(self) -> UdpFeed | None:
        """The market-data feed while connected."""
        return self._qtx_feed

    @property
    def shm_manager(self) -> OrderQueue | None:
        """The order queue while connected; None without a segment name."""
        return self._qtx_queue

    # -- market data -------------------------------------------------------------------------------------------

    async def _start_market_data(self) -> None:
        config = self.qtx_config
        feed = UdpFeed(
            config.qtx_perpetual_host,
            config.qtx_perpetual_port,
            clock=self._clock,
            driver=config.driver,
            header_layout=config.header_layout,
            depth_semantics=config.depth_semantics,
            sequence=config.sequence,
            multicast_group=config.multicast_group,
            multicast_interface=config.multicast_interface,
            stale_after_s=config.stale_after_s,
            dead_after_s=max(config.dead_after_s, config.stale_after_s),
        )
        self._qtx_feed = feed
        await feed.start()
        await feed.subscribe_many(
            {qtx_symbol(self.qtx_venue, pair): self._order_books[pair] for pair in self._trading_pairs}
        )
        await self._start_funding_info()

    async def _stop_market_data(self) -> None:
        if self._qtx_feed is not None:
            await self._qtx_feed.stop()
            self._qtx_feed = None
        await super()._stop_market_data()

    # -- the order queue ---------------------------------------------------------------------------------------

    @property
    def status_dict(self) -> dict[str, bool]:
        """What readiness consists of; with a segment name, the order queue too."""
        status = super().status_dict
        if self._uses_queue:
            status["order_queue"] = self._qtx_registered
        return status

    @property
    def _uses_queue(self) -> bool:
        config = self.qtx_config
        return config.qtx_place_order_shared_memory_name is not None and config.trading_required

    async def _start_network(self) -> None:
        await super()._start_network()
        if self._uses_queue:
            self._spawn(self._expire_unanswered(), "order answers")
            await self._open_queue()

    async def _stop_network(self) -> None:
        self._abandon_requests(None)
        self._close_queue()
        self._qtx_queue = None
        await super()._stop_network()

    async def _open_queue(self) -> None:
        config = self.qtx_config
        queue = OrderQueue.attach(
            config.qtx_place_order_shared_memory_name,
            allow_shared_access=config.allow_shared_access,
            stall_limit_ns=int(config.stall_limit_s * 1e9),
        )
        self._qtx_queue = queue
        queue.start()
        asyncio.get_running_loop().add_reader(queue.fileno(), self._on_queue_event)
        await self._register_key(queue)

    def _close_queue(self) -> None:
        queue = self._qtx_queue
        self._qtx_registered = False
        if queue is not None and queue.closed_reason != QUEUE_CLOSED:
            asyncio.get_running_loop().remove_reader(queue.fileno())
            queue.close()

    async def _register_key(self, queue: OrderQueue) -> None:
        config = self.qtx_config
        slot = queue.register_key(
            config.exchange_api_key.get_secret_value(),
            config.exchange_api_secret.get_secret_value(),
            place_ts_ns=self._clock.now_ns(),
        )
        request = self._note_request(slot, MODE_REGISTER_KEY, "")
        request.registered = asyncio.get_running_loop().create_future()
        await request.registered
        self._qtx_registered = True

    def _note_request(self, slot: int, mode: int, client_order_id: str) -> _Request:
        deadline_ns = self._clock.monotonic_ns() + int(self.qtx_config.answer_timeout_s * 1e9)
        request = _Request(mode, client_order_id, deadline_ns)
        self._qtx_requests[slot] = request
        if mode == MODE_PLACE:
            self._placing.add(client_order_id)
        return request

    # -- submitting --------------------------------------------------------------------------------------------

    def _position_action(
        self, trade_type: TradeType, trading_pair: str, position_action: PositionAction, options: dict[str, Any]
    ) -> PositionAction:
        """OPEN or CLOSE where the caller left it open: against the position is CLOSE. That is a name only, and such an
        order may turn the position; where the caller says CLOSE the order is reduce-only."""
        if self._qtx_queue is None or not _fits_slot(options):
            return super()._position_action(trade_type, trading_pair, position_action, options)
        if position_action is PositionAction.CLOSE:
            options["reduce_only"] = True
        if position_action is not PositionAction.NIL:
            return position_action
        held = self.get_position_amount(trading_pair)
        against = held < 0 if trade_type is TradeType.BUY else held > 0
        return PositionAction.CLOSE if against else PositionAction.OPEN

    def _submit_order(self, order: InFlightOrder) -> None:
        queue = self._qtx_queue
        options = self._order_options.get(order.client_order_id, {})
        if queue is None or order.order_type.is_conditional() or not _fits_slot(options):
            self._qtx_bypassing.add(order)
            super()._submit_order(order)
            return
        self._take_order_options(order.client_order_id)
        try:
            price, wire_type = self._limit_price(order), _wire_order_type(order.order_type, options)
            if not self._qtx_registered:
                raise SegmentError(f"order queue {queue.name!r} is not open: the order was not published")
            self._order_tracker.mark_submitted(order)
            published_ns = self._clock.now_ns()  # to within the 0.1 us that filling a slot takes
            slot = queue.submit_place(
                order.client_id,
                self.exchange_symbol_associated_to_pair(order.trading_pair),
                SIDE_BUY if order.trade_type is TradeType.BUY else SIDE_SELL,
                format(order.amount, "f"),
                format(price, "f"),
                wire_type,
                place_ts_ns=published_ns,
            )
        except SegmentError as error:
            self._order_rejected(order.client_order_id, OrderRejectedError(str(error)))
        except (QueueFullError, OrderValidationError, ConfigurationError) as error:
            self._order_rejected(order.client_order_id, error)
        else:
            self._note_request(slot, MODE_PLACE, order.client_order_id)
            updated_ns = self._order_books[order.trading_pair].last_update_ns
            if updated_ns:
                self.book_to_slot_latency.record(published_ns - updated_ns)

    def _limit_price(self, order: InFlightOrder) -> Decimal:
        """The order's price; for a MARKET order the best opposite price plus or minus the configured slippage, on the
        tick inside that limit, and at least at the touch."""
        if order.order_type is not OrderType.MARKET:
            return order.price
        book = self._order_books[order.trading_pair]
        is_buy = order.trade_type is TradeType.BUY
        touch = book.get_price(is_buy)
        if touch is None or not book.valid:
            raise OrderValidationError(
                f"{order.trading_pair}: no MARKET order without a valid book (it is {book.invalid_reason or 'empty'})"
            )
        slippage = self.qtx_config.market_order_slippage
        limit = touch * (1 + slippage if is_buy else 1 - slippage)
        # Passive rounding: down for a buy, up for a sell, so the limit is never passed.
        quantized = self.quantize_order_price(order.trading_pair, limit, order.trade_type)
        return max(quantized, touch) if is_buy else min(quantized, touch)

    def _submit_cancel(self, order: InFlightOrder) -> None:
        queue = self._qtx_queue
        # The queue names orders by the numbers that we gave them. What it did not place may be on its way yet.
        if queue is None or order.is_external or order.order_type.is_conditional() or order in self._qtx_bypassing:
            super()._submit_cancel(order)
            return
        try:
            slot = queue.submit_cancel(
                order.client_id,
                self.exchange_symbol_associated_to_pair(order.trading_pair),
                place_ts_ns=self._clock.now_ns(),
            )
        except (QueueFullError, SegmentError) as error:
            # A cancel must get through: the exchange's own path does not need the queue.
            self.logger().warning("%s; cancelling %s over the exchange's API", error, order.client_order_id)
            super()._submit_cancel(order)
        else:
            self._note_request(slot, MODE_CANCEL, order.client_order_id)

    # -- answers -----------------------------------------------------------------------------------------------

    def _on_queue_event(self) -> None:
        queue = self._qtx_queue
        for answer in queue.poll_answers():
            self.slot_to_answer_latency.record(self._clock.now_ns() - answer.place_ts_ns)
            request = self._qtx_requests.pop(answer.slot)
            self._placing.discard(request.client_order_id)
            try:
                self._process_answer(request, answer)
            except Exception:  # noqa: BLE001 - one answer must not keep the others from being read
                self.logger().exception("answer for %s could not be processed", request.client_order_id)
        if queue.closed_reason is not None:
            self._on_queue_lost(queue.closed_reason)

    def _process_answer(self, request: _Request, answer: QueueAnswer) -> None:
        if request.mode == MODE_REGISTER_KEY:
            if not request.registered.done():
                request.registered.set_result(None)  # any answer counts as success
            return
        result = parse_answer(answer.message)
        if isinstance(result, Refused) and result.code is not None:
            error = self.parse_error(result.code, result.message, result.http_status)
        elif isinstance(result, Accepted):
            if self._process_accepted(request, result):
                return
            error = OutcomeUnknownError(f"the order manager's answer is about something else: {result.text}")
        else:
            error = OutcomeUnknownError(
                f"the order manager answered: {result.message if isinstance(result, Refused) else result.text}"
            )
        if request.mode == MODE_CANCEL:
            self._cancel_failed(request.client_order_id, error)
        elif is_definite_refusal(error):
            self._order_rejected(request.client_order_id, error)
        else:
            self._order_unknown(request.client_order_id, error)

    def _process_accepted(self, request: _Request, result: Accepted) -> bool:
        """Applies what an answer says of the order; False if it speaks of another one."""
        order_id = request.client_order_id
        payload = result.payload
        if str(payload.get("clientOrderId", order_id)) != order_id:
            return False
        try:
            update = self.parse_order_result(payload) if payload else None
        except (MessageError, KeyError, TypeError, ValueError, ArithmeticError):
            update = None  # a short answer, or another venue's: the fact of acceptance is all that is taken
        if update is not None:
            self._process_report(update._replace(client_order_id=order_id))
        elif request.mode == MODE_PLACE:
            exchange_order_id = payload.get("orderId")
            self._order_accepted(order_id, None if exchange_order_id is None else str(exchange_order_id), 0.0)
        else:
            self._cancel_accepted(order_id, 0.0)
        return True

    def _on_queue_lost(self, reason: str) -> None:
        """The queue takes no orders any more, and what was published may stay unanswered."""
        name = self.qtx_config.qtx_place_order_shared_memory_name
        error = SegmentError(f"order queue {name!r}: {reason}")
        self._abandon_requests(error)
        self._close_queue()
        if reason == QUEUE_REPLACED:
            self.logger().warning("%s; orders are refused until there is a new one", error)
            if self._qtx_reopening is None or self._qtx_reopening.done():
                self._qtx_reopening = self._spawn(self._reopen_queue(), "order queue")
        else:
            # Whoever interferes with it would again: that is for people to sort out.
            self._alarm("order_queue", f"{error}; orders are refused: look into it, then connect again", None, error)

    async def _reopen_queue(self) -> None:
        backoff = Backoff(0.1, 5.0, uniform=environment().uniform)
        while not self._qtx_registered:
            await self._clock.sleep(backoff.next_s())
            try:
                await self._open_queue()
            except (SegmentError, NotReadyError, QueueFullError) as error:
                self.logger().info("%s; trying again", error)
                self._close_queue()
        self.logger().info("order queue %r is there again", self._qtx_queue.name)

    def _abandon_requests(self, error: SegmentError | None) -> None:
        """Gives up on every answer at once: the queue is lost, or without an `error` is about to be left."""
        requests, self._qtx_requests = self._qtx_requests, {}
        for slot, request in requests.items():
            if request.expired:
                continue
            self._qtx_queue.expire(slot)
            if error is not None:
                self._give_up(request, error)
                continue
            self._placing.discard(request.client_order_id)
            order = self._order_tracker.fetch_tracked_order(request.client_order_id)
            if order is not None and request.mode == MODE_PLACE:
                self._order_tracker.mark_unknown(order)

    async def _expire_unanswered(self) -> None:
        """Gives up on answers that are overdue. A late one is still processed.

        An order that the order manager has not picked up is taken back from the queue. From then on, or from having
        been seen to be picked up, the venue's "no such order" counts towards `submit_dead_after_s`.
        """
        while True:
            await self._clock.sleep(min(0.05, self.qtx_config.answer_timeout_s / 4))
            now_ns = self._clock.monotonic_ns()
            for slot, request in list(self._qtx_requests.items()):
                if request.expired:
                    continue
                if request.deadline_ns > now_ns:
                    break  # oldest first
                where = "taken back from the queue" if self._qtx_queue.expire(slot) else "the order manager has it"
                text = f"no answer in slot {slot} in {self.qtx_config.answer_timeout_s} s ({where})"
                self._give_up(request, RequestTimeoutError(text))

    def _give_up(self, request: _Request, error: QtxconnError) -> None:
        request.expired = True
        self._placing.discard(request.client_order_id)
        if request.mode == MODE_PLACE:
            self._order_unknown(request.client_order_id, error)
        elif request.mode == MODE_CANCEL:
            self._cancel_failed(request.client_order_id, error)
        elif not request.registered.done():
            name = self.qtx_config.qtx_place_order_shared_memory_name
            request.registered.set_exception(
                NotReadyError(f"the order manager behind {name} did not register the API key: {error}; is it running?")
            )


def _fits_slot(options: dict[str, Any]) -> bool:
    """Whether a slot can say what these options of buy() and sell() ask for."""
    return not options or all(
        value in _ORDER_TYPE_OF_TIME_IN_FORCE if name == "time_in_force" else name == "reduce_only" and value is False
        for name, value in options.items()
    )


def _wire_order_type(order_type: OrderType, options: dict[str, Any]) -> int:
    """The segment's order type. MARKET becomes an immediate-or-cancel limit: its remainder does not rest."""
    if order_type is OrderType.MARKET:
        return TYPE_IOC
    if order_type is OrderType.LIMIT_MAKER:
        return TYPE_POST_ONLY
    return _ORDER_TYPE_OF_TIME_IN_FORCE[options.get("time_in_force")]


def _refuse_unknown_options(options: dict[str, Any], known: list[str]) -> None:
    for key in options:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            raise ConfigurationError(f"unknown setting {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""))


class QtxPerpetualDerivative(QtxHybridMixin):
    """`QtxPerpetualDerivative(exchange_backend="binance", ...)` makes a hybrid of that exchange's connector.

    The instance is both a QtxPerpetualDerivative and, for "binance", a BinancePerpetual. Keys: QtxConnectorConfig;
    further keywords go to the exchange's constructor.
    """

    exchange_class: type

    def __new__(cls, exchange_backend: str = "binance", **options: Any) -> QtxPerpetualDerivative:
        if hasattr(cls, "exchange_class"):
            return super().__new__(cls)
        hybrid = create_qtx_connector_class(exchange_backend)
        return hybrid.__new__(hybrid, exchange_backend, **options)


_CLASSES: dict[type, type[QtxPerpetualDerivative]] = {}


def create_qtx_connector_class(exchange: type | str) -> type[QtxPerpetualDerivative]:
    """The hybrid class of an exchange's connector class, or of a backend's name; made once for each.

    Raises ConfigurationError for an unknown name, naming the valid ones and the nearest.
    """
    exchange_class = _load_exchange_class(exchange) if isinstance(exchange, str) else exchange
    if exchange_class not in _CLASSES:
        namespace = {
            "__module__": __name__,
            "__doc__": f"{exchange_class.__name__} with QTX market data and QTX orders.",
            "exchange_class": exchange_class,
            "name": f"qtx_{exchange_class.name}",
        }
        name, bases = f"Qtx{exchange_class.__name__}", (QtxPerpetualDerivative, exchange_class)
        _CLASSES[exchange_class] = types.new_class(name, bases, {}, lambda ns: ns.update(namespace))
    return _CLASSES[exchange_class]


def _load_exchange_class(backend: str) -> type:
    name = backend.strip().lower()
    if name not in EXCHANGE_CONNECTOR_CLASSES:
        near = get_close_matches(name, EXCHANGE_CONNECTOR_CLASSES, n=1)
        raise ConfigurationError(
            f"exchange_backend: is {backend!r}; it must be one of {', '.join(sorted(EXCHANGE_CONNECTOR_CLASSES))}"
            + (f"; did you mean {near[0]!r}?" if near else "")
        )
    module, _, class_name = EXCHANGE_CONNECTOR_CLASSES[name].partition(":")
    return getattr(importlib.import_module(module), class_name)
