"""A connector's life: it becomes ready or says what is missing, and leaves nothing behind, whatever fails."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from qtxconn.core.book_types import BookTicker
from qtxconn.core.connectors import ConnectorBase, PerpetualDerivativeBase, SpotExchangeBase
from qtxconn.core.types import (
    AccountEvent,
    FundingInfo,
    MarketEvent,
    OrderState,
    OrderType,
    OrderUpdate,
    Position,
    PositionAction,
    PositionMode,
    PositionSide,
)
from qtxconn.errors import (
    AuthenticationError,
    ConfigurationError,
    NetworkError,
    NotReadyError,
    OrderValidationError,
    RequestTimeoutError,
)

PAIR = "BTC-USDT"
HOOKS = ["start_network", "rules", "start_user_stream", "balances", "position_mode", "positions", "start_market_data"]


@pytest.fixture
def idle(kit) -> Any:
    return kit.exchange_class(clock=kit.clock_class())


def position(amount: str) -> Position:
    return Position(PAIR, PositionSide.BOTH, Decimal(0), Decimal(60000), Decimal(amount), Decimal(1))


async def test_connect_runs_the_hooks_in_order_and_is_ready(idle) -> None:
    assert not idle.is_connected
    assert not idle.is_ready
    assert idle.not_ready_reason == (
        "memory is not ready: missing connected, trading_rules, order_books, user_stream, account_balance"
    )
    async with idle as exchange:
        assert exchange is idle
        assert exchange.calls == HOOKS
        assert exchange.is_connected
        assert exchange.is_ready
        assert exchange.not_ready_reason is None
        assert all(exchange.status_dict.values())
        await exchange.connect()  # again: nothing to do
        assert exchange.calls == HOOKS
    assert exchange.calls[len(HOOKS) :] == ["stop_market_data", "stop_user_stream", "stop_network"]
    assert not idle.is_connected


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize(
    "error", [NetworkError("unreachable"), AuthenticationError("bad key"), asyncio.CancelledError()]
)
async def test_a_connect_that_fails_anywhere_leaves_no_task_and_can_be_repeated(idle, hook: str, error) -> None:
    before = asyncio.all_tasks()
    idle.fail[hook] = error
    with pytest.raises(type(error)):
        await idle.connect()
    assert asyncio.all_tasks() == before
    assert idle.calls[-3:] == ["stop_market_data", "stop_user_stream", "stop_network"]
    assert not any(idle.status_dict[part] for part in ("connected", "user_stream", "order_books"))
    idle.fail.clear()
    await idle.connect()
    assert idle.is_ready
    await idle.disconnect()
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("hook", HOOKS)
async def test_a_connect_that_is_cancelled_leaves_no_task(idle, kit, hook: str) -> None:
    before = asyncio.all_tasks()
    idle.hold[hook] = asyncio.Event()
    call = asyncio.ensure_future(idle.connect())
    await kit.settle(lambda: hook in idle.calls)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert asyncio.all_tasks() == before
    assert "stop_network" in idle.calls


async def test_books_that_do_not_come_are_named(idle, kit) -> None:
    before = asyncio.all_tasks()
    idle.feeds_book = False
    call = asyncio.ensure_future(idle.connect())
    await kit.settle(lambda: "start_market_data" in idle.calls)
    await idle._clock.advance(1)
    with pytest.raises(
        NotReadyError, match=r"BTC-USDT empty.*no complete book within 0.2 s: check the market-data host"
    ):
        await call
    assert asyncio.all_tasks() == before


async def test_before_connect_and_after_disconnect_nothing_is_sent(kit) -> None:
    exchange = kit.exchange_class(clock=kit.clock_class())
    with pytest.raises(NotReadyError, match="missing connected"):
        exchange.buy(PAIR, "0.5", OrderType.LIMIT, "60000")
    await exchange.initialize()
    with pytest.raises(NotReadyError, match="missing connected"):
        exchange.buy(PAIR, "0.5", OrderType.LIMIT, "60000")
    await exchange.connect()
    order_id = exchange.buy(PAIR, "0.5", OrderType.LIMIT, "60000")
    await kit.settle(lambda: exchange.events)
    order = exchange.order(order_id)
    await exchange.disconnect()
    tasks, calls = asyncio.all_tasks(), list(exchange.calls)
    for call in (
        lambda: exchange.buy(PAIR, "0.5", OrderType.LIMIT, "60000"),
        lambda: exchange.cancel(PAIR, order_id),
        lambda: exchange.batch_order_cancel([order]),
        lambda: exchange.amend(PAIR, order_id, price="59999"),
    ):
        with pytest.raises(NotReadyError, match="missing connected"):
            call()
    with pytest.raises(NotReadyError, match="missing connected"):
        await exchange.cancel_all(0.01)
    assert (asyncio.all_tasks(), exchange.calls) == (tasks, calls)
    assert order.current_state is OrderState.OPEN  # not as if a cancel were on its way
    watcher = kit.exchange_class(trading_required=False, clock=kit.clock_class())
    async with watcher:
        with pytest.raises(NotReadyError, match="trading_required=False"):
            watcher.buy(PAIR, "0.5", OrderType.LIMIT, "60000")
    assert "start_user_stream" not in watcher.calls


async def test_orders_are_refused_while_connect_waits_for_books(idle, kit) -> None:
    idle.feeds_book = False
    call = asyncio.ensure_future(idle.connect())
    await kit.settle(lambda: "start_market_data" in idle.calls)
    await kit.turns()
    with pytest.raises(NotReadyError, match=r"missing connected, order_books \(BTC-USDT empty\)"):
        idle.buy(PAIR, "1", OrderType.LIMIT, "60000")
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)


async def test_connecting_twice_at_once_connects_once(idle) -> None:
    await asyncio.gather(idle.connect(), idle.connect(), idle.connect())
    assert idle.calls == HOOKS
    await asyncio.gather(idle.disconnect(), idle.disconnect())
    assert not idle.is_connected


async def test_a_disconnect_during_connect_wins(idle, kit) -> None:
    idle.hold["balances"] = asyncio.Event()
    connecting = asyncio.ensure_future(idle.connect())
    await kit.settle(lambda: "balances" in idle.calls)
    disconnecting = asyncio.ensure_future(idle.disconnect())
    await kit.turns()
    idle.hold["balances"].set()
    await asyncio.gather(connecting, disconnecting)
    assert not idle.is_connected
    assert idle.calls[-1] == "stop_network"


async def test_a_failed_initialize_closes_the_network_and_a_second_opens_it_once(idle) -> None:
    idle.fail["rules"] = NetworkError("unreachable")
    with pytest.raises(NetworkError):
        await idle.initialize()
    assert idle.calls == ["start_network", "rules", "stop_network"]
    idle.fail.clear()
    await idle.initialize()
    await idle.initialize()
    assert idle.calls[3:] == ["start_network", "rules"]
    assert idle.quantize_order_price(PAIR, "60000.19") == Decimal("60000.1")
    await idle.disconnect()


async def test_a_hook_that_fails_while_stopping_does_not_keep_the_others_from_stopping(exchange, caplog) -> None:
    exchange.fail["stop_market_data"] = exchange.fail["stop_user_stream"] = OSError("already gone")
    await exchange.disconnect()
    assert exchange.calls[-3:] == ["stop_market_data", "stop_user_stream", "stop_network"]
    assert "already gone" in caplog.text


async def test_a_hundred_reconnects_leave_nothing_behind(idle, kit) -> None:
    before = asyncio.all_tasks()
    for _ in range(100):
        async with idle:
            idle.buy(PAIR, "0.5", OrderType.LIMIT, "60000")
            await kit.turns(5)
        assert asyncio.all_tasks() == before  # flaw 17: one task more each time


async def test_books_are_not_valid_after_disconnect_and_not_at_once_after_reconnect(exchange, kit) -> None:
    book = exchange.get_order_book(PAIR)
    assert book.valid
    await exchange.disconnect()
    assert (book.valid, book.invalid_reason) == (False, "disconnected")
    exchange.feeds_book = False
    call = asyncio.ensure_future(exchange.connect())
    await kit.turns(100)
    assert not exchange.is_ready
    exchange.order_books[PAIR].apply_snapshot([("1", "1")], [("2", "1")], 2)
    await exchange._clock.advance(0.05)
    await call
    assert exchange.order_books[PAIR] is book


async def test_a_changed_tick_gives_a_book_on_the_new_grid(exchange, monkeypatch) -> None:
    rules = exchange._request_trading_rules

    async def finer() -> list[Any]:
        return [type(rule)(rule.trading_pair, "0.001", 0, "0.01", "0.001", exchange_symbol=rule.exchange_symbol)
                for rule in await rules()]  # fmt: skip

    await exchange.disconnect()
    monkeypatch.setattr(exchange, "_request_trading_rules", finer, raising=False)
    await exchange.connect()
    assert exchange.get_order_book(PAIR).tick_size == Decimal("0.01")


@pytest.mark.parametrize("pair", ["BTC-USDC", "BTCUSDT", "btc-usdt"])
async def test_an_unknown_pair_is_refused_with_the_near_ones_named(kit, pair: str) -> None:
    with pytest.raises(ConfigurationError, match=f"memory does not trade '{pair}'; did you mean .*BTC-USDT"):
        await kit.exchange_class([pair], clock=kit.clock_class()).connect()


async def test_without_pairs_the_account_alone_makes_it_ready(kit) -> None:
    async with kit.exchange_class([], clock=kit.clock_class()) as exchange:
        assert exchange.is_ready
    assert exchange.not_ready_reason.startswith("memory is not ready: missing connected, trading_rules, order_books")


async def test_what_the_stream_lost_of_the_account_is_read_in_time(exchange, kit) -> None:
    exchange.calls.clear()
    exchange.fail["balances"] = RequestTimeoutError("no answer")
    await exchange._clock.advance(31)
    assert exchange.calls == ["balances"]
    exchange.fail.clear()
    await exchange._clock.advance(30)
    assert exchange.calls == ["balances", "balances", "positions"]


async def test_hedge_mode_is_refused_with_what_to_do(idle) -> None:
    idle.position_mode_at_venue = PositionMode.HEDGE
    with pytest.raises(
        ConfigurationError, match=r"for ONEWAY: switch the account.*set_position_mode\(PositionMode\.ONEWAY\)"
    ):
        await idle.connect()


def test_bad_arguments_are_refused_at_once(kit) -> None:
    with pytest.raises(ConfigurationError, match=r"a list such as \['BTC-USDT'\]"):
        kit.exchange_class("BTC-USDT")
    with pytest.raises(ConfigurationError, match="too long"):
        kit.exchange_class(client_order_id_prefix="x" * 18)
    for prefix in ("é", "a b", "a\n"):
        with pytest.raises(ConfigurationError, match=r"client_order_id_prefix .*: memory takes the characters"):
            kit.exchange_class(client_order_id_prefix=prefix)
    with pytest.raises(ConfigurationError, match="trading_pairs names BTC-USDT more than once"):
        kit.exchange_class([PAIR, "ETH-USDT", PAIR])
    exchange = kit.exchange_class(client_order_id_prefix="x-bot")
    order_id = exchange.generate_client_order_id()
    assert order_id.startswith("x-bot")
    assert order_id[5:].isdecimal()
    assert len(order_id) <= exchange.client_order_id_max_length


def test_a_hook_that_is_no_coroutine_or_a_missing_name_is_refused() -> None:
    with pytest.raises(TypeError, match="async def _place_order"):
        type("Bad", (PerpetualDerivativeBase,), {"_place_order": lambda self: None})
    with pytest.raises(TypeError, match="name must be a non-empty text"):
        type("Bad", (ConnectorBase,), {"name": ""})


async def test_a_missing_hook_is_named() -> None:
    class Empty(PerpetualDerivativeBase):
        name = "empty"

    with pytest.raises(NotImplementedError, match="Empty must define _request_trading_rules"):
        await Empty([PAIR], trading_required=False).connect()


async def test_spot_orders_have_no_position_action(kit) -> None:
    class Spot(SpotExchangeBase):
        name = "spot"
        _request_trading_rules = kit.exchange_class._request_trading_rules
        _place_order = kit.exchange_class._place_order
        _place_cancel = kit.exchange_class._place_cancel
        _request_order_status = kit.exchange_class._request_order_status
        _all_trade_updates_for_order = kit.exchange_class._all_trade_updates_for_order
        _enter = kit.exchange_class._enter
        calls: list[str] = []
        hold: dict[str, Any] = {}
        fail: dict[str, Any] = {}

        async def _start_user_stream(self) -> None: ...

        async def _update_balances(self) -> None:
            self._set_balance("USDT", Decimal(1), None)

        async def _start_market_data(self) -> None:
            self._order_books[PAIR].apply_snapshot([("1", "1")], [("2", "1")], 1)

    async with Spot([PAIR]) as spot:
        with pytest.raises(OrderValidationError, match="spot market: orders have no position_action"):
            spot.buy(PAIR, "1", OrderType.LIMIT, "60000", position_action=PositionAction.OPEN)
        assert spot.in_flight_orders == {}
        assert (spot.get_balance("USDT"), spot.get_available_balance("USDT")) == (1, 0)


# -- orders over a disconnect --------------------------------------------------------------------------------------


async def test_an_order_cut_off_while_being_sent_is_found_after_reconnect(exchange, kit) -> None:
    exchange.hold["place_answer"] = asyncio.Event()
    order_id = exchange.buy(PAIR, "0.5", OrderType.LIMIT, "60000")
    await kit.settle(lambda: "place_answer" in exchange.calls)
    await exchange.disconnect()
    assert exchange.order(order_id).current_state is OrderState.UNKNOWN
    exchange.hold.clear()
    await exchange.connect()
    await kit.settle(lambda: exchange.events)
    assert exchange.order(order_id).current_state is OrderState.OPEN
    assert exchange.kinds() == ["created"]


async def test_an_order_cut_off_before_it_arrived_ends_after_reconnect(exchange, kit) -> None:
    exchange.hold["place"] = asyncio.Event()
    order_id = exchange.buy(PAIR, "0.5", OrderType.LIMIT, "60000")
    await kit.settle(lambda: "place" in exchange.calls)
    await exchange.disconnect()
    exchange.hold.clear()
    await exchange.connect()
    await exchange._clock.advance(20)
    assert exchange.order(order_id).is_failure  # not UNKNOWN for ever
    assert exchange.kinds() == ["failed"]


async def test_an_order_that_was_never_sent_fails_at_disconnect(exchange, kit) -> None:
    order_id = exchange.buy(PAIR, "0.5", OrderType.LIMIT, "60000", reduce_only=True)
    await exchange.disconnect()
    assert "place" not in exchange.calls
    assert exchange.kinds() == ["failed"]
    assert exchange.events[0].error_message == "disconnected before the order was sent"
    assert exchange.order(order_id).is_failure
    assert exchange._order_options == {}


@pytest.mark.parametrize("turns", [0, 5])
async def test_a_cancel_cut_off_by_disconnect_can_be_repeated(exchange, kit, turns: int) -> None:
    order_id = exchange.buy(PAIR, "0.5", OrderType.LIMIT, "60000")
    await kit.settle(lambda: exchange.events)
    exchange.hold["cancel"] = asyncio.Event()
    assert exchange.cancel(PAIR, order_id)
    await kit.turns(turns)
    await exchange.disconnect()
    assert exchange.order(order_id).current_state is OrderState.OPEN
    exchange.hold.clear()
    await exchange.connect()
    assert exchange.cancel(PAIR, order_id)
    await kit.settle(lambda: exchange.order(order_id).is_cancelled)


async def test_a_cancel_that_a_transport_never_answered_can_be_repeated_after_reconnect(
    exchange, kit, monkeypatch
) -> None:
    order_id = exchange.buy(PAIR, "0.5", OrderType.LIMIT, "60000")
    await kit.settle(lambda: exchange.events)
    with monkeypatch.context() as patch:
        patch.setattr(exchange, "_submit_cancel", lambda order: None, raising=False)
        assert exchange.cancel(PAIR, order_id)
    await exchange.disconnect()
    await exchange.connect()
    assert exchange.cancel(PAIR, order_id)
    await kit.settle(lambda: exchange.order(order_id).is_cancelled)


async def test_what_happened_while_away_is_learned_on_connect(exchange, kit) -> None:
    order_id = exchange.buy(PAIR, "0.5", OrderType.LIMIT, "60000")
    await kit.settle(lambda: exchange.events)
    await exchange.disconnect()
    exchange.venue.execute(order_id, "0.5")
    await exchange.connect()
    await kit.settle(lambda: exchange.order(order_id).is_done)
    assert exchange.kinds() == ["created", "filled", "completed"]


async def test_what_the_stream_missed_is_learned_when_it_is_back(exchange, kit) -> None:
    order_id = exchange.buy(PAIR, "0.5", OrderType.LIMIT, "60000")
    await kit.settle(lambda: exchange.events)
    await exchange._clock.advance(1.5)  # the first round after connect has been
    exchange._set_connected(False)
    assert not exchange.is_connected
    assert exchange.not_ready_reason == "memory is not ready: missing user_stream"
    exchange.venue.execute(order_id, "0.5")
    await exchange._clock.advance(1.5)
    assert exchange.order(order_id).is_open
    exchange._set_connected(True)
    await exchange._clock.advance(1.5)
    assert exchange.kinds() == ["created", "filled", "completed"]


async def test_the_status_poll_finds_what_the_stream_never_told(exchange, kit) -> None:
    order_id = exchange.buy(PAIR, "0.5", OrderType.LIMIT, "60000")
    await kit.settle(lambda: exchange.events)
    exchange.fail["query"] = RequestTimeoutError("no answer")
    exchange.venue.end(order_id)
    await exchange._clock.advance(exchange.status_poll_interval_s * 3)
    assert exchange.order(order_id).is_open
    exchange.fail.clear()
    await exchange._clock.advance(exchange.status_poll_interval_s + 1)
    assert exchange.kinds() == ["created", "cancelled"]


async def test_the_account_is_read_on_whatever_one_look_at_it_ends_in(exchange) -> None:
    looks = []

    async def update_balances() -> None:
        looks.append(exchange.current_timestamp)
        raise (RequestTimeoutError("no answer"), KeyError("asset"))[len(looks) % 2]

    exchange._update_balances = update_balances
    for count in (1, 2, 3):
        await exchange._clock.advance(exchange.status_poll_interval_s + 1)
        assert len(looks) == count


async def test_an_older_status_answer_resolves_an_unknown_order(exchange, kit) -> None:
    # The stream's event time is later than the order's own: the answer is older than what is known, and still counts.
    order_id = exchange.buy(PAIR, "0.5", OrderType.LIMIT, "60000")
    await kit.settle(lambda: exchange.events)
    exchange.stream(OrderUpdate(PAIR, exchange.venue.time_s + 5, OrderState.OPEN, order_id))
    exchange._order_tracker.mark_unknown(exchange.order(order_id))
    await exchange._clock.advance(exchange.status_poll_interval_s + 1)
    assert exchange.order(order_id).current_state is OrderState.OPEN


# -- state of the account ------------------------------------------------------------------------------------------


async def test_balances_and_positions_are_what_the_venue_said_last(exchange) -> None:
    assert exchange.get_all_balances() == {"USDT": Decimal(1000)}
    assert exchange.get_available_balance("USDT") == 900
    exchange._set_balance("USDT", Decimal(800), None)
    assert (exchange.get_balance("USDT"), exchange.get_available_balance("USDT")) == (800, 900)
    assert exchange.get_balance("BTC") == exchange.get_available_balance("BTC") == 0
    seen: list[Position] = []
    exchange.add_listener(AccountEvent.PositionUpdate, seen.append)
    exchange._set_position(position("0.5"))
    assert exchange.get_position_amount(PAIR) == Decimal("0.5")
    assert exchange.account_positions == {PAIR: position("0.5")}
    exchange._set_position(position("0"))
    assert exchange.get_position(PAIR) is None
    assert exchange.get_all_positions() == []
    assert len(seen) == 2


async def test_a_position_of_a_side_that_the_mode_does_not_have_is_left_out(exchange) -> None:
    exchange._set_position(position("0.5")._replace(position_side=PositionSide.LONG))
    assert exchange.get_all_positions() == []


async def test_the_leverage_of_a_position_is_the_pairs_where_it_is_not_told(exchange) -> None:
    exchange._set_positions([position("0")._replace(leverage=Decimal(20))])
    assert exchange.get_leverage(PAIR) == 20
    assert exchange.get_all_positions() == []
    exchange._set_position(position("0.5")._replace(leverage=Decimal(0)))
    assert exchange.get_position(PAIR).leverage == 20


async def test_a_ticker_counts_while_it_is_ahead_of_the_book_that_it_was_told_with(exchange) -> None:
    book = exchange.get_order_book(PAIR)

    def snapshot(update_id: int) -> None:
        book.apply_snapshot([("59999", "1")], [("60001", "2")], update_id)

    def ticker(update_id: int) -> BookTicker:
        return BookTicker(update_id, Decimal(59990), Decimal(1), Decimal(59995), Decimal(1))

    snapshot(10)
    of_book = exchange.get_book_ticker(PAIR)
    assert of_book == (10, Decimal(59999), Decimal(1), Decimal(60001), Decimal(2))
    exchange._set_book_ticker(PAIR, ticker(9))
    assert exchange.get_book_ticker(PAIR) == of_book
    exchange._set_book_ticker(PAIR, ticker(12))
    exchange._set_book_ticker(PAIR, ticker(11))  # late
    assert exchange.get_book_ticker(PAIR) == ticker(12)
    book.invalidate("gap")
    assert exchange.get_book_ticker(PAIR) is None
    await exchange._clock.advance(1.0)
    snapshot(11)
    assert exchange.get_book_ticker(PAIR).update_id == 11  # the ticker was of the book that was lost
    with pytest.raises(OrderValidationError):
        exchange.get_book_ticker("DOGE-USDT")


async def test_a_position_closed_while_away_is_gone_after_reconnect(exchange) -> None:
    exchange._set_position(position("0.5"))
    await exchange.disconnect()
    await exchange.connect()
    assert exchange.get_position_amount(PAIR) == 0


async def test_leverage_and_funding(exchange) -> None:
    assert exchange.get_leverage(PAIR) == 1
    await exchange.set_leverage(PAIR, 5)
    assert exchange.get_leverage(PAIR) == 5
    for pair, leverage in ((PAIR, 0), ("BTC-USDC", 2)):
        with pytest.raises(OrderValidationError):
            await exchange.set_leverage(pair, leverage)
    exchange.fail["leverage"] = AuthenticationError("no")
    with pytest.raises(AuthenticationError):
        await exchange.set_leverage(PAIR, 7)
    assert exchange.get_leverage(PAIR) == 5
    assert exchange.get_funding_rate(PAIR) is exchange.get_mark_price(PAIR) is exchange.get_index_price(PAIR) is None
    info = FundingInfo(PAIR, Decimal(1), Decimal(2), 3, Decimal("0.0001"))
    seen: list[FundingInfo] = []
    exchange.add_listener(MarketEvent.FundingInfo, seen.append)
    exchange._set_funding_info(info)
    assert (exchange.get_index_price(PAIR), exchange.get_mark_price(PAIR), exchange.get_funding_rate(PAIR)) == (
        1, 2, Decimal("0.0001"),
    )  # fmt: skip
    assert seen == [info]


async def test_symbols_map_both_ways_and_unknown_ones_raise_key_error(exchange) -> None:
    assert exchange.exchange_symbol_associated_to_pair(PAIR) == "BTCUSDT"
    assert exchange.trading_pair_associated_to_exchange_symbol("ETHUSDT") == "ETH-USDT"
    for lookup in (exchange.exchange_symbol_associated_to_pair, exchange.trading_pair_associated_to_exchange_symbol):
        with pytest.raises(KeyError):
            lookup("DOGE")


async def test_a_background_task_that_fails_is_an_alarm(exchange, kit, caplog) -> None:
    async def fail() -> None:
        raise RuntimeError("stream parser bug")

    exchange._spawn(fail(), "user stream")
    await kit.settle(lambda: exchange.alarms)
    alarm = exchange.alarms[0]
    assert alarm.kind == "task"
    assert alarm.message == "memory user stream ended with RuntimeError: stream parser bug"
    assert isinstance(alarm.error, RuntimeError)


async def test_a_connector_without_its_order_hooks_is_refused_before_anything_opens(kit) -> None:
    class Unfinished(PerpetualDerivativeBase):
        name = "unfinished"
        opened = False

        async def _start_network(self) -> None:
            self.opened = True

        async def _place_order(self, *arguments, **options) -> tuple[str, float]:
            raise AssertionError("never reached")

    connector = Unfinished([kit.pair])
    with pytest.raises(ConfigurationError, match="must define _place_cancel, _request_order_status, _all_trade"):
        await connector.connect()
    assert not connector.opened
