"""A perpetual exchange without a wire: its connector's hooks reach the simulated venue through a faulty link."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from qtxconn.core.connectors import PerpetualDerivativeBase
from qtxconn.core.in_flight_order import InFlightOrder
from qtxconn.core.order_journal import OrderJournalBase
from qtxconn.core.trading_rule import TradingRule
from qtxconn.core.types import (
    AddedToCostTradeFee,
    FundingPayment,
    OrderState,
    OrderType,
    OrderUpdate,
    Position,
    PositionMode,
    PositionSide,
    TokenAmount,
    TradeType,
    TradeUpdate,
)
from qtxconn.errors import (
    ConnectionClosedError,
    DuplicateOrderIdError,
    NetworkError,
    OrderNotFoundError,
    OrderRejectedError,
    OutcomeUnknownError,
    QtxconnError,
    RateLimitedError,
    RequestTimeoutError,
    TimestampError,
    VenueError,
)
from qtxconn.sim import model
from qtxconn.testing.faults import READ_LAG_MAX_S, RETRY_AFTER_S, FaultPlan, RequestFault, StreamFault
from qtxconn.testing.loop import SimLoop
from qtxconn.testing.market import PAIR, SYMBOL

if TYPE_CHECKING:
    from qtxconn.sim.model import Execution, SimOrder
    from qtxconn.testing.market import SimMarket

TIMEOUT_S = 10.0
REQUEST_WINDOW_S = 5.0  # the venue refuses a request that is older
STATES = {
    "NEW": OrderState.OPEN,
    "PARTIALLY_FILLED": OrderState.PARTIALLY_FILLED,
    "FILLED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELED,
    "EXPIRED": OrderState.EXPIRED,
}


def parse_order(order: SimOrder, market: SimMarket) -> OrderUpdate:
    """The order as the venue has it now."""
    instrument = market.instrument
    misc = {
        "cumulative_base": instrument.lots_to_quantity(order.filled),
        "amount": instrument.lots_to_quantity(order.quantity),
        "price": instrument.ticks_to_price(order.price),
    }
    return OrderUpdate(
        PAIR, order.updated_ms / 1e3, STATES[order.status], order.client_order_id, str(order.order_id), misc
    )


def parse_execution(execution: Execution, market: SimMarket) -> TradeUpdate:
    instrument = market.instrument
    # In two parts, as venues with rebates charge it; they add up to what the account has paid.
    fees = [TokenAmount(execution.fee_asset, 2 * execution.fee), TokenAmount(execution.fee_asset, -execution.fee)]
    price, base = instrument.ticks_to_price(execution.price), instrument.lots_to_quantity(execution.quantity)
    return TradeUpdate(
        str(execution.trade_id), execution.order.client_order_id, str(execution.order.order_id), PAIR,
        execution.time_ms / 1e3, price, base, price * base,
        AddedToCostTradeFee(flat_fees=fees), not execution.is_maker,
    )  # fmt: skip


class AccountState(NamedTuple):
    """Wallet balance (quote) and position (base, signed) as the venue has them."""

    number: int  # bookings of the wallet so far: of two states the one with more is newer
    wallet: Decimal
    position: Decimal

    @classmethod
    def of(cls, market: SimMarket) -> AccountState:
        account = market.account
        return cls(len(account.income), account.wallet_balance, account.position(market.instrument).quantity)


class MemoryLink:
    """The way between one client and the venue. Requests may overtake each other; the user stream keeps its order."""

    def __init__(self, loop: SimLoop, plan: FaultPlan, market: SimMarket) -> None:
        self._loop = loop
        self.plan = plan
        self._market = market
        self._world = contextvars.copy_context()  # what is on its way goes on when the client dies
        self._stream: Callable[[Any], None] | None = None
        self._stream_broken: Callable[[], None] | None = None
        self._stream_context: contextvars.Context | None = None
        self._stream_number = 0
        self._stream_due_s = 0.0
        self._stream_messages: deque[tuple[int, Any]] = deque()
        self._held: Any = None  # a message that later ones overtake
        self.sent = 0
        self._silent_until_s = 0.0  # told to wait by Retry-After
        self.on_fault: Callable[[str], None] = lambda text: None
        self.on_too_early: Callable[[float], None] = lambda seconds: None

    # -- requests ----------------------------------------------------------------------------------------------

    async def request(self, carry_out: Callable[[], Any], timeout_s: float = TIMEOUT_S) -> Any:
        """Sends a request and returns what the venue answers, or raises as a connector's transport does."""
        loop, plan = self._loop, self.plan
        now_s = loop.time()
        if now_s < self._silent_until_s - 1e-6:
            self.on_too_early(self._silent_until_s - now_s)
        fault = plan.request_fault(now_s)
        if fault is not RequestFault.NONE:
            self.on_fault(fault.value)
        if fault is RequestFault.REFUSED:
            await loop.sleep(plan.delay_s())
            raise NetworkError("cannot connect")
        self.sent += 1
        request = _Request(self, carry_out, fault, now_s, loop.create_future())
        request.leave()
        late = RequestTimeoutError(f"no answer within {timeout_s} s")
        timeout = loop.call_later(timeout_s, request.settle, None, late)
        try:
            return await request.answer
        finally:
            timeout.cancel()

    def later(self, call: Callable[..., None], *args: Any, delay_s: float = 0.0) -> None:
        """Something arrives at the other end, `delay_s` later than it would."""
        self._loop.call_later(delay_s + self.plan.delay_s(), call, *args, context=self._world)

    def be_silent(self, seconds: float) -> None:
        """The client is told to send nothing for so long."""
        self._silent_until_s = max(self._silent_until_s, self._loop.time() + seconds)

    def now_s(self) -> float:
        return self._loop.time()

    def silence_left_s(self) -> float:
        return max(0.0, self._silent_until_s - self._loop.time())

    # -- the user stream ---------------------------------------------------------------------------------------

    async def open_stream(self, on_message: Callable[[Any], None], on_broken: Callable[[], None]) -> None:
        """Returns once messages come in. Raises NetworkError."""
        await self._loop.sleep(2 * self.plan.delay_s())
        if self.plan.in_outage(self._loop.time()):
            raise NetworkError("cannot connect")
        self._stream_number += 1
        self._stream, self._stream_broken = on_message, on_broken
        self._stream_context = contextvars.copy_context()
        self._stream_messages.clear()
        self._held = None

    def close_stream(self) -> None:
        self._stream = None

    def push(self, message: Any) -> None:
        """The venue sends a message to whoever listens."""
        if self._stream is None:
            return
        fault = self.plan.stream_fault(self._loop.time())
        if fault is not StreamFault.NONE:
            self.on_fault(fault.value)
        if fault is StreamFault.BREAK:
            self._break()
            return
        if fault is StreamFault.REORDER and self._held is None:
            self._held = message
            # It comes at last, whether anything overtakes it or not.
            self._loop.call_later(1.0, self._release, self._stream_number, context=self._world)
            return
        self._queue(message)
        if fault is StreamFault.DUPLICATE:
            self._queue(message)
        self._release(self._stream_number)

    def _release(self, stream_number: int) -> None:
        if self._held is not None and stream_number == self._stream_number and self._stream is not None:
            message, self._held = self._held, None
            self._queue(message)

    def _queue(self, message: Any) -> None:
        self._stream_due_s = max(self._stream_due_s, self._loop.time() + self.plan.delay_s())
        self._stream_messages.append((self._stream_number, message))
        self._loop.call_at(self._stream_due_s, self._deliver, context=self._world)

    def _deliver(self) -> None:
        if not self._stream_messages:
            return  # the stream was opened anew meanwhile
        number, message = self._stream_messages.popleft()
        if self._stream is not None and number == self._stream_number:
            self._loop.call_soon(self._stream, message, context=self._stream_context)

    def _break(self) -> None:
        """The stream ends; what was on its way is lost, and the client notices a little later."""
        broken, self._stream = self._stream_broken, None
        self._stream_messages.clear()
        notice_s = self.plan.rng.choice((0.0, 0.1, 3.0))
        self._loop.call_later(notice_s, broken, context=self._stream_context)


class _Request:
    """A request on its way to the venue, and its answer on the way back."""

    __slots__ = ("_carry_out", "_fault", "_link", "_sent_s", "answer")

    def __init__(
        self, link: MemoryLink, carry_out: Callable[[], Any], fault: RequestFault, sent_s: float,
        answer: asyncio.Future[Any],
    ) -> None:  # fmt: skip
        self._link = link
        self._carry_out = carry_out
        self._fault = fault
        self._sent_s = sent_s
        self.answer = answer

    def leave(self) -> None:
        link, fault = self._link, self._fault
        if fault is RequestFault.RESET_BEFORE:
            link.later(self._reset)
        elif fault is RequestFault.RESET_THEN_LATE:
            link.later(self._reset)
            link.later(self._arrive, delay_s=link.plan.after_reset_s())
        elif fault is not RequestFault.LOST_REQUEST:
            link.later(self._arrive, delay_s=link.plan.late_s() if fault is RequestFault.LATE else 0.0)

    def _arrive(self) -> None:
        """At the venue."""
        link, fault = self._link, self._fault
        if link.now_s() - self._sent_s > REQUEST_WINDOW_S:
            link.later(self.settle, None, TimestampError("the request is older than the window"))
        elif fault is RequestFault.ERROR_BEFORE:
            link.later(self.settle, None, OutcomeUnknownError("unavailable", http_status=503))
        elif fault in RETRY_AFTER_S:
            link.later(self._limit)
        else:
            result, refusal = self._act()
            if fault is RequestFault.ERROR_AFTER:
                link.later(self.settle, None, OutcomeUnknownError("no answer from the backend", http_status=503))
            elif fault is RequestFault.RESET_AFTER:
                link.later(self._reset)
            elif fault is not RequestFault.LOST_ANSWER:
                link.later(self.settle, result, refusal)

    def _act(self) -> tuple[Any, VenueError | None]:
        try:
            return self._carry_out(), None
        except (OrderRejectedError, OrderNotFoundError) as refusal:
            return None, refusal

    def _reset(self) -> None:
        self.settle(None, ConnectionClosedError("the connection closed before the answer"))

    def _limit(self) -> None:
        wait_s = RETRY_AFTER_S[self._fault]
        if not self.answer.done():
            self._link.be_silent(wait_s)
        self.settle(None, RateLimitedError("too many requests", http_status=429, retry_after=wait_s))

    def settle(self, result: Any, error: Exception | None = None) -> None:
        """The first word that comes back is the answer."""
        if self.answer.done():
            return
        if error is not None:
            self.answer.set_exception(error)
        else:
            self.answer.set_result(result)


class MemoryPerpetual(PerpetualDerivativeBase):
    """The exchange class under test at transport level: everything but HTTP and a venue's dialect is the real thing."""

    name = "memory_perpetual"
    submit_dead_after_s = REQUEST_WINDOW_S + READ_LAG_MAX_S + 1.0
    is_cancel_request_in_exchange_synchronous = True
    supports_amend = True

    def __init__(self, market: SimMarket, link: MemoryLink, journal: OrderJournalBase | None = None) -> None:
        super().__init__([PAIR], journal=journal)
        self._market = market
        self._link = link
        self._resume_at_ns = 0  # after "too many requests"
        self._live_once = asyncio.Event()
        self._account_number = -1

    def supported_order_types(self) -> list[OrderType]:
        return [OrderType.LIMIT, OrderType.LIMIT_MAKER, OrderType.MARKET]

    # -- the venue's side of each request ----------------------------------------------------------------------

    def _carry_out_place(
        self, order_id: str, amount: Decimal, side: model.Side, order_type: OrderType, price: Decimal | None
    ) -> SimOrder:
        kind = model.OrderType.MARKET if order_type is OrderType.MARKET else model.OrderType.LIMIT
        tif = model.TimeInForce.GTX if order_type is OrderType.LIMIT_MAKER else model.TimeInForce.GTC
        venue, account = self._market.venue, self._market.account
        try:
            return venue.place_order(account, SYMBOL, side, kind, amount, price, tif, order_id)
        except model.Reject as reject:
            duplicate = reject.reason is model.RejectReason.DUPLICATE_CLIENT_ID
            raise (DuplicateOrderIdError if duplicate else OrderRejectedError)(str(reject)) from None

    def _carry_out_cancel(self, order_id: str) -> OrderUpdate:
        try:
            order = self._market.venue.cancel_order(self._market.account, SYMBOL, None, order_id)
        except model.Reject as reject:
            raise OrderNotFoundError(str(reject), code=-2011) from None
        return parse_order(order, self._market)

    def _carry_out_amend(self, order_id: str, price: Decimal, amount: Decimal) -> OrderUpdate:
        venue, account = self._market.venue, self._market.account
        try:
            order = venue.amend_order(account, SYMBOL, None, order_id, quantity=amount, price=price)
        except model.Reject as reject:
            unknown = reject.reason is model.RejectReason.UNKNOWN_ORDER
            raise (OrderNotFoundError if unknown else OrderRejectedError)(str(reject)) from None
        return parse_order(order, self._market)

    def _carry_out_query(self, order_id: str) -> OrderUpdate:
        order = self._market.account.find(SYMBOL, None, order_id)
        lag_ns = self._link.plan.read_lag_s * 1e9
        if order is None or (lag_ns and self._market.venue.clock.now_ns() - order.created_ms * 1e6 < lag_ns):
            raise OrderNotFoundError("NO_SUCH_ORDER", code=-2013)
        return parse_order(order, self._market)

    def _carry_out_fills(self, exchange_order_id: str) -> list[TradeUpdate]:
        found = self._market.venue.executions(self._market.account, SYMBOL, int(exchange_order_id))
        return [parse_execution(execution, self._market) for execution in found]

    def _carry_out_funding(self, since_s: float) -> list[FundingPayment]:
        return [
            FundingPayment(str(record.income_id), PAIR, record.time_ms / 1e3, record.amount, record.asset)
            for record in self._market.account.income
            if record.type is model.IncomeType.FUNDING_FEE and record.time_ms / 1e3 >= since_s
        ]

    # -- hooks -------------------------------------------------------------------------------------------------

    async def _request(self, carry_out: Callable[..., Any], *args: Any) -> Any:
        while (wait_ns := self._resume_at_ns - self._clock.monotonic_ns()) > 0:
            await self._clock.sleep(wait_ns / 1e9)
        try:
            return await self._link.request(lambda: carry_out(*args))
        except RateLimitedError as error:
            resume_at_ns = self._clock.monotonic_ns() + round((error.retry_after or 0.0) * 1e9)
            self._resume_at_ns = max(self._resume_at_ns, resume_at_ns)
            raise

    def _venue_time_s(self) -> float:
        return self._market.venue.clock.now_ns() / 1e9

    async def _request_trading_rules(self) -> list[TradingRule]:
        return [
            TradingRule(
                PAIR, "0.001", "1000", "0.1", "0.001", "5", exchange_symbol=SYMBOL, supports_market_orders=True
            )
        ]  # fmt: skip

    async def _start_user_stream(self) -> None:
        self._spawn(self._keep_stream(), "user stream")
        await self._live_once.wait()

    def _on_message(self, message: tuple[tuple[TradeUpdate | None, OrderUpdate] | None, AccountState]) -> None:
        order, state = message
        if order is not None:
            self._on_stream_message(order)
        else:
            self._funding_paid()
        self._on_account_state(state)

    def _on_account_state(self, state: AccountState) -> None:
        if state.number < self._account_number:
            return  # overtaken
        self._account_number = state.number
        self._set_balance("USDT", state.wallet, state.wallet)
        zero = Decimal(0)
        self._set_position(Position(PAIR, PositionSide.BOTH, zero, zero, state.position, Decimal(1)))

    async def _keep_stream(self) -> None:
        wait_s = 0.25
        while True:
            down = asyncio.Event()
            try:
                await self._link.open_stream(self._on_message, down.set)
            except NetworkError:
                await self._clock.sleep(wait_s)
                wait_s = min(4.0, 2 * wait_s)
                continue
            wait_s = 0.25
            if self._live_once.is_set():
                self._spawn(self._read_account_again(), "account")
                if self.reports_funding_payments:
                    self._funding_paid()
            self._on_stream_live()
            await down.wait()
            self._on_stream_lost()

    async def _read_account_again(self) -> None:
        """What the stream may have missed."""
        while True:
            try:
                await self._update_positions()
                return
            except QtxconnError:
                await self._clock.sleep(1.0)

    def _on_stream_live(self) -> None:
        self._live_once.set()
        self._set_connected(True)

    def _on_stream_lost(self) -> None:
        self._set_connected(False)

    def _on_stream_message(self, message: tuple[TradeUpdate | None, OrderUpdate]) -> None:
        fill, update = message
        self._process_amend(update)
        if fill is not None:
            self._order_tracker.process_trade_update(fill)
        self._order_tracker.process_order_update(update)

    async def _stop_user_stream(self) -> None:
        self._live_once.clear()
        self._link.close_stream()

    async def _update_balances(self) -> None:
        """Comes with the positions, which are read next."""

    async def _update_positions(self) -> None:
        self._on_account_state(await self._request(AccountState.of, self._market))

    async def _request_funding_payments(self, since_s: float) -> list[FundingPayment]:
        return await self._request(self._carry_out_funding, since_s)

    async def _request_settled_funding_rate(self, trading_pair: str, timestamp_s: float) -> Decimal | None:
        return await self._request(self._market.venue.funding_rate, SYMBOL)

    async def _request_position_mode(self) -> PositionMode:
        return PositionMode.ONEWAY

    async def _start_market_data(self) -> None:
        bids, asks, update_id = self._market.venue.depth(SYMBOL)
        instrument = self._market.instrument
        levels = [
            [(instrument.ticks_to_price(ticks), instrument.lots_to_quantity(lots)) for ticks, lots in side]
            for side in (bids, asks)
        ]
        self._order_books[PAIR].apply_snapshot(levels[0], levels[1], update_id)

    async def _place_order(
        self, order_id: str, trading_pair: str, amount: Decimal, trade_type: TradeType, order_type: OrderType,
        price: Decimal | None, **options: Any,
    ) -> tuple[str, float]:  # fmt: skip
        side = model.Side.BUY if trade_type is TradeType.BUY else model.Side.SELL
        limit = None if order_type is OrderType.MARKET else price
        order = await self._request(self._carry_out_place, order_id, amount, side, order_type, limit)
        return str(order.order_id), order.created_ms / 1e3

    async def _place_cancel(self, order_id: str, tracked_order: InFlightOrder) -> OrderUpdate | bool:
        return await self._request(self._carry_out_cancel, order_id)

    async def _place_amend(
        self, order_id: str, tracked_order: InFlightOrder, price: Decimal, amount: Decimal
    ) -> OrderUpdate:
        return await self._request(self._carry_out_amend, order_id, price, amount)

    async def _request_order_status(self, tracked_order: InFlightOrder) -> OrderUpdate:
        return await self._request(self._carry_out_query, tracked_order.client_order_id)

    async def _all_trade_updates_for_order(self, order: InFlightOrder) -> list[TradeUpdate]:
        if order.exchange_order_id is None:
            return []
        return await self._request(self._carry_out_fills, order.exchange_order_id)
