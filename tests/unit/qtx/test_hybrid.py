"""The hybrid connector on a small exchange class: real UDP, a real segment, the base's own order tracking."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from qtx_server import TICKER_ASK, depth, single, start_server

from qtxconn.core.connectors import PerpetualDerivativeBase
from qtxconn.core.trading_rule import TradingRule
from qtxconn.core.types import (
    OrderState,
    OrderType,
    OrderUpdate,
    Position,
    PositionAction,
    PositionMode,
    PositionSide,
)
from qtxconn.errors import (
    ConfigurationError,
    NotReadyError,
    OrderNotFoundError,
    OrderRejectedError,
    OrderValidationError,
    SegmentError,
    VenueError,
)
from qtxconn.qtx import hybrid
from qtxconn.qtx.hybrid import QtxConnectorProtocol, QtxPerpetualDerivative, create_qtx_connector_class
from qtxconn.qtx.order_queue import (
    MODE_CANCEL,
    MODE_PLACE,
    MODE_REGISTER_KEY,
    OrderManagerQueue,
    QueuedRequest,
)

BTC = "binance-futures:btcusdt"
FULL = depth(9, 1, asks=[(60000.1, 1.0), (60000.2, 2.0)], bids=[(60000.0, 3.0), (59999.9, 4.0)])


class ToyPerpetual(PerpetualDerivativeBase):
    """An exchange whose own order path only writes down what it was asked."""

    name = "toy_perpetual"
    qtx_venue = "binance-futures"
    order_options = ("time_in_force", "good_till_date", "reduce_only", "trigger_price")
    times_in_force = ("GTC", "IOC", "FOK", "GTD")
    supported_position_modes = (PositionMode.ONEWAY, PositionMode.HEDGE)
    lookup_delays_s = (0.0, 0.01)
    submit_dead_after_s = 30.0

    def __init__(
        self,
        toy_perpetual_api_key: str = "",
        toy_perpetual_api_secret: str = "",
        trading_pairs: list[str] | None = None,
        trading_required: bool = True,
        *,
        rest_url: str = "https://toy.invalid",
        position_mode: PositionMode = PositionMode.ONEWAY,
    ) -> None:
        super().__init__(trading_pairs, trading_required, position_mode=position_mode)
        self.credentials = toy_perpetual_api_key, toy_perpetual_api_secret
        self.rest_url = rest_url
        self.own_path: list[tuple[str, str]] = []
        self.asked: dict[str, Any] = {}  # the keywords of the last _place_order
        self.truth: dict[str, OrderState] = {}  # what a query answers

    def supported_order_types(self) -> list[OrderType]:
        return [OrderType.LIMIT, OrderType.LIMIT_MAKER, OrderType.MARKET, OrderType.STOP_MARKET]

    async def _request_trading_rules(self) -> list[TradingRule]:
        return [
            TradingRule(
                "BTC-USDT",
                min_order_size="0.001",
                min_price_increment="0.1",
                min_base_amount_increment="0.001",
                exchange_symbol="BTCUSDT",
            )
        ]

    async def _start_user_stream(self) -> None:
        pass

    async def _update_balances(self) -> None:
        self._set_balance("USDT", Decimal(1000), Decimal(1000))

    async def _update_positions(self) -> None:
        pass

    async def _request_position_mode(self) -> PositionMode:
        return self.position_mode

    async def _start_market_data(self) -> None:
        raise AssertionError("the hybrid has its own")

    async def _place_order(self, order_id: str, *args: Any, **kwargs: Any) -> tuple[str, float]:
        self.own_path.append(("place", order_id))
        self.asked = kwargs
        return "own-1", 1.0

    async def _place_cancel(self, order_id: str, tracked_order: Any) -> bool:
        self.own_path.append(("cancel", order_id))
        return True

    async def _request_order_status(self, tracked_order: Any) -> OrderUpdate:
        order_id = tracked_order.client_order_id
        self.own_path.append(("query", order_id))
        if order_id not in self.truth:
            raise OrderNotFoundError("Order does not exist.", code=-2013)
        return OrderUpdate("BTC-USDT", time.time(), self.truth[order_id], order_id, "7")

    async def _all_trade_updates_for_order(self, order: Any) -> list:
        return []

    def parse_error(self, code: int, message: str, http_status: int | None = None) -> VenueError:
        kind = {-2011: OrderNotFoundError, -2019: OrderRejectedError}.get(code, VenueError)
        return kind(message, code=code, http_status=http_status)

    def parse_order_result(self, payload: dict) -> OrderUpdate:
        state = {"NEW": OrderState.OPEN, "CANCELED": OrderState.CANCELED}[payload["status"]]
        return OrderUpdate(
            "BTC-USDT", payload["updateTime"] / 1e3, state, payload["clientOrderId"], str(payload["orderId"])
        )


async def until(condition, limit_s: float = 10.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.002)


def confirm(request: QueuedRequest) -> bytes:
    status = b"NEW" if request.mode == MODE_PLACE else b"CANCELED"
    result = b'{"orderId":5,"status":"%s","clientOrderId":"%d","updateTime":1}' % (status, request.client_order_id)
    return b'{"status":200,"result":%s}' % result


class Manager:
    """The order manager's end, answering by a function of the request."""

    def __init__(self, name: str | None = None) -> None:
        self.queue = OrderManagerQueue.create(name or f"/qtxconn_test_{uuid.uuid4().hex[:12]}")
        self.requests: list[QueuedRequest] = []
        self.reply = confirm
        self.queue.start()
        asyncio.get_running_loop().add_reader(self.queue.fileno(), self._on_requests)

    def _on_requests(self) -> None:
        for request in self.queue.take():
            self.requests.append(request)
            answer = b"registered" if request.mode == MODE_REGISTER_KEY else self.reply(request)
            if answer is not None:
                self.queue.answer(request.slot, answer)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.queue.fileno())
        self.queue.close()

    @property
    def orders(self) -> list[QueuedRequest]:
        return [request for request in self.requests if request.mode != MODE_REGISTER_KEY]


@pytest.fixture
async def server():
    server = await start_server()
    server.after_answer = [FULL]
    yield server
    server.transport.close()


@pytest.fixture
async def manager():
    manager = Manager()
    yield manager
    manager.close()


def make(server, manager=None, *, of: type | None = None, **changes: Any):
    options = {
        "qtx_perpetual_host": "127.0.0.1",
        "qtx_perpetual_port": server.port if server else 8080,
        "qtx_place_order_shared_memory_name": manager.queue.name if manager else None,
        "exchange_api_key": "canary-key",
        "exchange_api_secret": "canary-secret",
        "trading_pairs": ["BTC-USDT"],
        **changes,
    }
    return (of or create_qtx_connector_class(ToyPerpetual))(**options)


@pytest.fixture
async def connector(server, manager):
    async with make(server, manager) as connector:
        yield connector


class TestClass:
    def test_one_class_for_each_exchange(self):
        assert create_qtx_connector_class(ToyPerpetual) is create_qtx_connector_class(ToyPerpetual)
        assert create_qtx_connector_class(ToyPerpetual).__name__ == "QtxToyPerpetual"

    def test_an_instance_is_both(self):
        connector = make(None)
        assert isinstance(connector, QtxPerpetualDerivative)
        assert isinstance(connector, ToyPerpetual)
        assert isinstance(connector, QtxConnectorProtocol)
        assert issubclass(type(connector), QtxConnectorProtocol)
        assert connector.name == "qtx_toy_perpetual"

    def test_made_by_backend_name(self, monkeypatch):
        monkeypatch.setitem(hybrid.EXCHANGE_CONNECTOR_CLASSES, "toy", "toy_exchange:ToyPerpetual")
        module = type(hybrid)("toy_exchange")
        module.ToyPerpetual = ToyPerpetual
        monkeypatch.setitem(__import__("sys").modules, "toy_exchange", module)
        connector = QtxPerpetualDerivative(
            exchange_backend="toy",
            qtx_perpetual_host="127.0.0.1",
            qtx_perpetual_port=8080,
            exchange_api_key="key",
            exchange_api_secret="secret",
            trading_pairs=["BTC-USDT"],
            client_config_map=object(),
            rest_url="http://127.0.0.1:1",
        )
        assert isinstance(connector, ToyPerpetual)
        assert isinstance(connector, QtxPerpetualDerivative)
        assert connector.credentials == ("key", "secret")
        assert connector.rest_url == "http://127.0.0.1:1"
        assert connector.trading_pairs == ["BTC-USDT"]

    def test_the_hybrid_can_be_subclassed(self):
        class Mine(create_qtx_connector_class(ToyPerpetual)):
            pass

        connector = Mine(exchange_api_key="k", exchange_api_secret="s", trading_pairs=["BTC-USDT"])
        assert connector.credentials == ("k", "s")

    def test_unknown_backend(self):
        with pytest.raises(ConfigurationError, match="one of binance; did you mean 'binance'"):
            QtxPerpetualDerivative(exchange_backend="binanec", trading_pairs=["BTC-USDT"])

    def test_unknown_setting(self):
        with pytest.raises(ConfigurationError, match="unknown setting 'rest_ulr'; did you mean 'rest_url'"):
            make(None, rest_ulr="x")
        with pytest.raises(ConfigurationError, match=r"qtx_perpetual_port: .*1 to 65535"):
            make(None, qtx_perpetual_port=0)

    def test_what_it_overrides(self):
        overrides = create_qtx_connector_class(ToyPerpetual).describe_overrides()
        assert {"_start_market_data", "_stop_market_data", "_submit_order", "_submit_cancel"} <= set(overrides)
        assert all(hasattr(ToyPerpetual, name) for name in overrides)

    def test_secrets_are_not_shown(self):
        connector = make(None)
        assert "canary" not in f"{connector!r} {connector.qtx_config!r}"


class TestConnecting:
    async def test_ready_with_books_from_the_feed_and_the_key_registered(self, connector, manager, server):
        assert connector.is_ready, connector.not_ready_reason
        assert connector.get_order_book("BTC-USDT").best_ask == Decimal("60000.1")
        (request,) = manager.requests
        assert request.mode == MODE_REGISTER_KEY
        assert (request.api_key, request.api_secret) == ("canary-key", "canary-secret")
        assert server.requests == [BTC]
        assert connector.udp_manager.trading_pairs == ["BTC-USDT"]
        assert connector.shm_manager.outstanding == 0

    async def test_disconnect_leaves_nothing(self, server, manager):
        connector = make(server, manager)
        await connector.connect()
        book = connector.get_order_book("BTC-USDT")
        await connector.disconnect()
        assert connector.udp_manager is None
        assert connector.shm_manager is None
        assert not book.valid
        await connector.connect()  # and again
        assert connector.is_ready
        await connector.disconnect()

    async def test_a_missing_segment(self, server):
        with pytest.raises(SegmentError, match="does not exist"):
            await make(server, qtx_place_order_shared_memory_name="/qtxconn_test_none").connect()

    async def test_an_order_manager_that_does_not_answer(self, server):
        with OrderManagerQueue.create(f"/qtxconn_test_{uuid.uuid4().hex[:12]}") as queue:
            connector = make(server, qtx_place_order_shared_memory_name=queue.name, answer_timeout_s=0.1)
            with pytest.raises(NotReadyError, match=r"did not register the API key.*is it running"):
                await connector.connect()
            assert connector.shm_manager is None

    @pytest.mark.parametrize("hook", ["parse_error", "parse_order_result"])
    async def test_an_exchange_that_cannot_read_its_answers_is_refused_before_anything_opens(
        self, server, manager, hook
    ):
        class Mute(create_qtx_connector_class(ToyPerpetual)):
            pass

        setattr(Mute, hook, getattr(PerpetualDerivativeBase, hook))
        connector = make(server, manager, of=Mute)
        with pytest.raises(ConfigurationError, match=f"must define {hook};"):
            await connector.connect()
        assert connector.shm_manager is None
        async with make(server, of=Mute) as without_queue:
            assert without_queue.is_ready

    async def test_market_data_alone(self, server):
        async with make(server, trading_required=False, exchange_api_key="", exchange_api_secret="") as connector:
            assert connector.is_ready
            assert connector.shm_manager is None


class TestOrders:
    async def test_an_order_is_published_inside_buy_and_accepted(self, connector, manager):
        order_id = connector.buy("BTC-USDT", Decimal("0.0015"), OrderType.LIMIT, Decimal("59990.05"))
        order = connector.in_flight_orders[order_id]
        assert connector.shm_manager.outstanding == 1, "published before buy() returned"
        assert order.current_state is OrderState.PENDING_SUBMIT
        await until(lambda: order.current_state is OrderState.OPEN)
        (request,) = manager.orders
        assert str(request.client_order_id) == order_id
        assert (request.mode, request.side, request.pos_side, request.order_type) == (MODE_PLACE, 1, 0, 2)
        assert (request.symbol, request.size, request.price) == ("BTCUSDT", "0.001", "59990")
        assert request.place_ts_ns > 0
        assert order.exchange_order_id == "5"
        assert connector.own_path == []
        assert connector.slot_to_answer_latency.count == 2
        assert connector.book_to_slot_latency.count == 1

    @pytest.mark.parametrize(
        ("order_type", "options", "wire"),
        [
            (OrderType.LIMIT, {}, 2),
            (OrderType.LIMIT_MAKER, {}, 1),
            (OrderType.LIMIT, {"time_in_force": "IOC"}, 0),
            (OrderType.LIMIT, {"time_in_force": "FOK"}, 3),
            (OrderType.LIMIT, {"time_in_force": "GTC", "reduce_only": False}, 2),
        ],
    )
    async def test_order_types(self, connector, manager, order_type, options, wire):
        connector.sell("BTC-USDT", Decimal("0.001"), order_type, Decimal("60010"), **options)
        await until(lambda: manager.orders)
        assert manager.orders[0].order_type == wire
        assert manager.orders[0].side == -1

    @pytest.mark.parametrize(
        ("order_type", "options", "message"),
        [
            (OrderType.LIMIT, {"colour": "red"}, "no order option colour"),
            (OrderType.LIMIT, {"time_in_force": "GTX"}, "must be one of GTC, IOC, FOK, GTD; for post-only use"),
            (OrderType.LIMIT, {"time_in_force": "GTD"}, "good_till_date"),
            (OrderType.LIMIT_MAKER, {"time_in_force": "IOC"}, "is for LIMIT orders"),
            (OrderType.LIMIT, {"reduce_only": 1}, "must be True or False"),
        ],
    )
    async def test_wrong_options_raise_and_leave_nothing(self, connector, manager, order_type, options, message):
        with pytest.raises(OrderValidationError, match=message):
            connector.buy("BTC-USDT", Decimal("0.001"), order_type, Decimal("59990"), **options)
        assert connector.in_flight_orders == {}
        assert connector._order_options == {}
        assert (manager.orders, connector.own_path) == ([], [])

    @pytest.mark.parametrize(
        ("order_type", "options", "asked"),
        [
            (OrderType.LIMIT, {"position_action": PositionAction.CLOSE}, {"reduce_only": True}),
            (OrderType.MARKET, {"position_action": PositionAction.CLOSE, "reduce_only": False}, {"reduce_only": True}),
            (OrderType.LIMIT, {"reduce_only": True}, {"reduce_only": True}),
            (OrderType.LIMIT, {"time_in_force": "GTD", "good_till_date": 4e9}, {"good_till_date": 4e9}),
            (OrderType.STOP_MARKET, {"trigger_price": Decimal(50000)}, {"trigger_price": Decimal(50000)}),
        ],
    )
    async def test_what_no_slot_can_say_goes_the_exchanges_own_way(
        self, connector, manager, order_type, options, asked
    ):
        connector._set_position(
            Position("BTC-USDT", PositionSide.BOTH, Decimal(0), Decimal(60000), Decimal("0.001"), Decimal(1))
        )
        order_id = connector.sell("BTC-USDT", Decimal("0.003"), order_type, Decimal(60010), **options)
        order = connector.in_flight_orders[order_id]
        connector.cancel("BTC-USDT", order_id)  # it waits for the order, which the queue's would not
        await until(lambda: order.is_done)
        assert connector.own_path == [("place", order_id), ("cancel", order_id)]
        action = options.get("position_action", PositionAction.NIL)
        assert connector.asked.items() >= (asked | {"position_action": action}).items()
        assert manager.orders == []

    async def test_closing_needs_no_queue(self, server):
        manager = Manager()
        async with make(server, manager) as connector:
            manager.close()
            await until(lambda: not connector.is_ready)
            order_id = connector.sell(
                "BTC-USDT", Decimal("0.001"), OrderType.MARKET, position_action=PositionAction.CLOSE
            )
            await until(lambda: ("place", order_id) in connector.own_path)

    async def test_in_hedge_mode_an_order_names_its_position_action(self, server, manager):
        with pytest.raises(ConfigurationError, match="it must be ONEWAY"):
            make(server, manager, position_mode=PositionMode.HEDGE)
        async with make(server, position_mode=PositionMode.HEDGE) as connector:
            with pytest.raises(OrderValidationError, match="names its position_action"):
                connector.buy("BTC-USDT", Decimal("0.001"), OrderType.LIMIT, Decimal("59990"))

    async def test_the_queue_knows_one_way_mode_alone(self, connector):
        with pytest.raises(OrderValidationError, match=r"knows PositionMode\.ONEWAY$"):
            await connector.set_position_mode(PositionMode.HEDGE)

    @pytest.mark.parametrize(
        ("side", "slippage", "price"),
        [
            ("buy", "0.001", "60060.1"),  # 60000.1 * 1.001 = 60060.1001
            ("sell", "0.001", "59940"),
            ("buy", "0", "60000.1"),
            ("sell", "0.0000001", "60000"),  # less than a tick: the touch itself
        ],
    )
    async def test_a_market_order_is_an_aggressive_limit_inside_the_slippage(
        self, server, manager, side, slippage, price
    ):
        async with make(server, manager, market_order_slippage=slippage) as connector:
            getattr(connector, side)("BTC-USDT", Decimal("0.001"), OrderType.MARKET)
            await until(lambda: manager.orders)
            assert (manager.orders[0].price, manager.orders[0].order_type) == (price, 0)

    async def test_no_market_order_on_an_invalid_book(self, connector, manager):
        connector.get_order_book("BTC-USDT").invalidate("gap")
        order_id = connector.buy("BTC-USDT", Decimal("0.001"), OrderType.MARKET)
        assert connector._order_tracker.fetch_order(order_id).current_state is OrderState.FAILED
        assert manager.orders == []

    async def test_open_and_close_follow_from_the_position(self, connector, manager):
        def action(side: str, **options: Any) -> str:
            place = getattr(connector, side)
            order_id = place("BTC-USDT", Decimal("0.001"), OrderType.LIMIT, Decimal("60000"), **options)
            return connector._order_tracker.fetch_order(order_id).position

        assert action("buy") is PositionAction.OPEN
        connector._set_position(
            Position("BTC-USDT", PositionSide.BOTH, Decimal(0), Decimal(60000), Decimal("-1"), Decimal(1))
        )
        assert action("buy") is PositionAction.CLOSE
        assert action("sell") is PositionAction.OPEN
        assert action("buy", position_action=PositionAction.OPEN) is PositionAction.OPEN
        await until(lambda: len(manager.orders) == 4)  # a name, and no other way

    async def test_the_venues_refusal_fails_the_order(self, connector, manager):
        manager.reply = lambda request: b'{"status":400,"error":{"code":-2019,"msg":"Margin is insufficient."}}'
        order_id = connector.buy("BTC-USDT", Decimal("0.001"), OrderType.LIMIT, Decimal("59990"))
        order = connector.in_flight_orders[order_id]
        await until(lambda: order.current_state is OrderState.FAILED)
        assert connector.own_path == []

    async def test_plain_text_acceptance(self, connector, manager):
        manager.reply = lambda request: b"success"
        order_id = connector.buy("BTC-USDT", Decimal("0.001"), OrderType.LIMIT, Decimal("59990"))
        order = connector.in_flight_orders[order_id]
        await until(lambda: order.current_state is OrderState.OPEN)

    @pytest.mark.parametrize(
        "reply",
        [
            b"error: connection lost",
            b"???",
            b'{"status":200,"result":{"orderId":5,"status":"NEW","clientOrderId":"1","updateTime":1}}',
            b"\xff" * 10_000,
        ],
    )
    async def test_an_answer_that_says_nothing_certain_is_resolved_by_asking(self, connector, manager, reply):
        manager.reply = lambda request: reply
        order_id = connector.buy("BTC-USDT", Decimal("0.001"), OrderType.LIMIT, Decimal("59990"))
        order = connector.in_flight_orders[order_id]
        await until(lambda: order.current_state is OrderState.UNKNOWN)
        connector.truth[order_id] = OrderState.OPEN
        await until(lambda: order.current_state is OrderState.OPEN)

    async def test_no_answer_means_unknown_and_a_late_answer_counts(self, server, manager):
        async with make(server, manager, answer_timeout_s=0.1) as connector:
            manager.reply = lambda request: None
            order_id = connector.buy("BTC-USDT", Decimal("0.001"), OrderType.LIMIT, Decimal("59990"))
            order = connector.in_flight_orders[order_id]
            await until(lambda: order.current_state is OrderState.UNKNOWN)
            assert not order.is_done
            request = manager.orders[0]
            manager.queue.answer(request.slot, confirm(request))
            await until(lambda: order.current_state is OrderState.OPEN)
            assert connector.shm_manager.outstanding == 0

    async def test_a_full_queue_refuses_at_once(self, server):
        manager = Manager()
        try:
            async with make(server, manager, stall_limit_s=300) as connector:
                manager.queue.stop()
                ids = [
                    connector.buy("BTC-USDT", Decimal("0.001"), OrderType.LIMIT, Decimal("59990")) for _ in range(100)
                ]
                states = [connector._order_tracker.fetch_order(order_id).current_state for order_id in ids]
                assert states.count(OrderState.FAILED) == 1
                assert states[-1] is OrderState.FAILED
                # A cancel still gets through, over the exchange's own path.
                connector.cancel("BTC-USDT", ids[0])
                await until(lambda: ("cancel", ids[0]) in connector.own_path)
        finally:
            manager.close()

    async def test_a_replaced_segment_makes_what_is_out_unknown_and_refuses_the_rest(self, server):
        manager = Manager()
        async with make(server, manager) as connector:
            manager.reply = lambda request: None
            order_id = connector.buy("BTC-USDT", Decimal("0.001"), OrderType.LIMIT, Decimal("59990"))
            order = connector.in_flight_orders[order_id]
            await until(lambda: manager.orders)
            manager.close()
            await until(lambda: order.current_state is OrderState.UNKNOWN)
            later = connector.buy("BTC-USDT", Decimal("0.001"), OrderType.LIMIT, Decimal("59990"))
            assert connector._order_tracker.fetch_order(later).current_state is OrderState.FAILED

    async def test_an_order_nobody_picked_up_in_time_is_taken_back_before_its_absence_counts(self, server):
        manager = Manager()
        try:
            async with make(server, manager, answer_timeout_s=0.2, stall_limit_s=300) as connector:
                connector.submit_dead_after_s = 0.05
                manager.queue.stop()  # it does not look, for a while
                order_id = connector.buy("BTC-USDT", Decimal("0.001"), OrderType.LIMIT, Decimal("59990"))
                order = connector.in_flight_orders[order_id]
                connector._resolve(order)  # as a poll would, long before the time-out
                await until(lambda: connector.own_path.count(("query", order_id)) > 8)
                assert not order.is_done, "the order manager could still place it"
                await until(lambda: order.current_state is OrderState.FAILED)
                manager.queue.start()
                await until(lambda: manager.orders)
                assert manager.orders[0].mode == MODE_CANCEL
                assert str(manager.orders[0].client_order_id) == order_id
        finally:
            manager.close()

    async def test_a_replaced_segment_is_taken_up_again(self, server):
        manager = Manager()
        name = manager.queue.name
        async with make(server, manager) as connector:
            manager.reply = lambda request: None
            lost = connector.buy("BTC-USDT", Decimal("0.001"), OrderType.LIMIT, Decimal("59990"))
            connector.truth[lost] = OrderState.OPEN
            await until(lambda: manager.orders)
            manager.close()
            await until(lambda: not connector.is_ready)
            assert "order_queue" in connector.not_ready_reason
            await until(lambda: connector.in_flight_orders[lost].current_state is OrderState.OPEN)  # asked, and found
            manager = Manager(name)
            try:
                await until(lambda: connector.is_ready)
                assert [request.mode for request in manager.requests] == [MODE_REGISTER_KEY]
                order_id = connector.buy("BTC-USDT", Decimal("0.001"), OrderType.LIMIT, Decimal("59990"))
                await until(lambda: connector.in_flight_orders[order_id].current_state is OrderState.OPEN)
                assert ("query", order_id) not in connector.own_path
            finally:
                manager.close()

    async def test_another_producer_is_for_people_to_sort_out(self, connector, manager):
        alarms = []
        connector.set_error_event_listener(SimpleNamespace(on_error=alarms.append))
        segment = os.open("/dev/shm" + manager.queue.name, os.O_RDWR)
        os.pwrite(segment, (50).to_bytes(8, "little"), 8)
        os.close(segment)
        order_id = connector.buy("BTC-USDT", Decimal("0.001"), OrderType.LIMIT, Decimal("59990"))
        assert connector._order_tracker.fetch_order(order_id).current_state is OrderState.FAILED
        await until(lambda: alarms)
        assert "another producer" in alarms[-1].message
        await asyncio.sleep(0.3)
        assert connector.shm_manager.closed

    async def test_disconnecting_takes_back_what_nobody_picked_up(self, server):
        manager = Manager()
        try:
            async with make(server, manager) as connector:
                manager.queue.stop()
                order_id = connector.buy("BTC-USDT", Decimal("0.001"), OrderType.LIMIT, Decimal("59990"))
                order = connector.in_flight_orders[order_id]
            assert order.current_state is OrderState.UNKNOWN
            manager.queue.start()
            await until(lambda: manager.orders)
            assert manager.orders[0].mode == MODE_CANCEL
        finally:
            manager.close()

    async def test_without_a_segment_orders_take_the_exchanges_own_path(self, server):
        async with make(server) as connector:
            order_id = connector.buy("BTC-USDT", Decimal("0.001"), OrderType.LIMIT, Decimal("59990"))
            order = connector.in_flight_orders[order_id]
            await until(lambda: order.current_state is OrderState.OPEN)
            connector.cancel("BTC-USDT", order_id)
            await until(lambda: order.is_done)
            assert connector.own_path == [("place", order_id), ("cancel", order_id)]


class TestCancelling:
    async def place(self, connector) -> Any:
        order_id = connector.buy("BTC-USDT", Decimal("0.001"), OrderType.LIMIT, Decimal("59990"))
        order = connector.in_flight_orders[order_id]
        await until(lambda: order.current_state is OrderState.OPEN)
        return order

    async def test_confirmed(self, connector, manager):
        order = await self.place(connector)
        assert connector.cancel("BTC-USDT", order.client_order_id)
        await until(lambda: order.current_state is OrderState.CANCELED)
        request = manager.orders[-1]
        assert (request.mode, request.symbol) == (MODE_CANCEL, "BTCUSDT")
        assert str(request.client_order_id) == order.client_order_id
        assert (request.size, request.price, request.side) == ("", "", 0)

    async def test_plain_text_confirmation(self, connector, manager):
        order = await self.place(connector)
        manager.reply = lambda request: b"cancelled"
        connector.cancel("BTC-USDT", order.client_order_id)
        await until(lambda: order.current_state is OrderState.CANCELED)

    async def test_unknown_order_is_asked_about_never_assumed(self, connector, manager):
        order = await self.place(connector)
        connector.truth[order.client_order_id] = OrderState.CANCELED
        manager.reply = lambda request: b'{"status":400,"error":{"code":-2011,"msg":"Unknown order sent."}}'
        connector.cancel("BTC-USDT", order.client_order_id)
        await until(lambda: order.is_done)
        assert ("query", order.client_order_id) in connector.own_path

    async def test_no_answer_is_asked_about(self, server, manager):
        async with make(server, manager, answer_timeout_s=0.1) as connector:
            order = await self.place(connector)
            connector.truth[order.client_order_id] = OrderState.OPEN
            manager.reply = lambda request: None
            connector.cancel("BTC-USDT", order.client_order_id)
            await until(lambda: ("query", order.client_order_id) in connector.own_path)
            await until(lambda: order.current_state is OrderState.OPEN)


class TestMarketData:
    async def test_the_feed_drives_the_connectors_book(self, connector, server):
        seen = []
        connector.udp_manager.on_book = seen.append
        server.send(single(TICKER_ASK, 9, 1, 60000.2, 9.0))
        await until(lambda: connector.get_order_book("BTC-USDT").best_ask == Decimal("60000.2"))
        await until(lambda: seen == ["BTC-USDT"])
