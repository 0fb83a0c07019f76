"""What the kit must be told of an exchange: how to make its connector, and a hand on the venue behind it."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from qtxconn.errors import ConfigurationError

if TYPE_CHECKING:
    from qtxconn.core.connectors import PerpetualDerivativeBase
    from qtxconn.core.order_journal import OrderJournalBase
    from qtxconn.core.types import MarginType, OrderState, OrderType, PositionSide, TradeType
    from qtxconn.errors import VenueError
    from qtxconn.sim.faults import Fault

Levels = list[tuple[Decimal, Decimal]]


class Action(StrEnum):
    """What a fault happens to, in no exchange's words."""

    PLACE = "place"
    CANCEL = "cancel"
    AMEND = "amend"
    QUERY = "query"
    FILLS = "fills"
    BALANCES = "balances"
    POSITIONS = "positions"
    RULES = "rules"
    SERVER_TIME = "server time"
    USER_STREAM_KEY = "user stream key"
    SNAPSHOT = "snapshot"
    FUNDING_INFO = "funding info"
    COUNTDOWN = "countdown"
    FUNDING_PAYMENTS = "funding payments"
    PLACE_STOP = "place stop"
    STOP_EVENT = "stop event"
    ORDER_EVENT = "order event"
    ACCOUNT_EVENT = "account event"
    DEPTH_EVENT = "depth event"
    TRADE_EVENT = "trade event"


class Refusal(StrEnum):
    """Why a venue refuses a request, in no exchange's words."""

    BALANCE = "balance"
    POST_ONLY = "post only"
    REDUCE_ONLY = "reduce only"
    TOO_MANY_ORDERS = "too many orders"
    FILTER = "filter"
    PARAMETER = "parameter"
    PERMISSION = "permission"
    TIMESTAMP = "timestamp"
    NO_SUCH_ORDER = "no such order"
    UNKNOWN_ORDER = "unknown order"
    OUTCOME_UNKNOWN = "outcome unknown"


@dataclass(frozen=True, slots=True)
class Account:
    """Credentials at the venue."""

    key: str
    secret: str


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order as the venue has it; amounts in base, prices in quote per base."""

    client_order_id: str
    exchange_order_id: str
    state: OrderState
    amount: Decimal
    executed: Decimal
    price: Decimal
    reduces_only: bool
    time_in_force: str


@dataclass(frozen=True, slots=True)
class VenueStop:
    """A conditional order that waits at the venue; prices in quote per base."""

    client_order_id: str
    kind: OrderType
    trigger_price: Decimal
    watches_mark: bool
    reduces_only: bool


@dataclass(frozen=True, slots=True)
class VenueFill:
    """One execution as the venue has it; `amount` in base, `fee` in quote, above 0 when paid."""

    trade_id: str
    exchange_order_id: str
    side: TradeType
    price: Decimal
    amount: Decimal
    fee: Decimal


class VenueHand(ABC):
    """A hand on a running venue, past the connector: the truth, the other side of trades, and what goes wrong.

    The market must be quiet: it moves only by what these hands and the connector do, with room of several ticks between
    the best prices, and an event now and then so that feeds see that it lives.
    """

    # -- the truth, of the account under test

    @abstractmethod
    async def order(self, client_order_id: str) -> VenueOrder | None:
        """The order as the venue has it, open or ended, a conditional one too; None when it never took it."""

    @abstractmethod
    async def fills(self, exchange_order_id: str) -> list[VenueFill]:
        """The executions of one order."""

    @abstractmethod
    async def open_orders(self) -> list[VenueOrder]:
        """Those in the book."""

    @abstractmethod
    async def waiting_orders(self) -> list[VenueStop]:
        """Conditional ones that wait for their trigger."""

    @abstractmethod
    async def use(self, account: Account) -> None:
        """From now on this is the account under test."""

    @abstractmethod
    async def position(self, side: PositionSide | None = None) -> Decimal:
        """In base, negative when short; in hedge mode of one side, or the net without one."""

    @abstractmethod
    async def balance(self) -> Decimal:
        """The wallet, in quote."""

    @abstractmethod
    async def available(self) -> Decimal:
        """What new orders may use, in quote."""

    @abstractmethod
    async def leverage(self) -> int: ...

    @abstractmethod
    async def margin_type(self) -> MarginType: ...

    @abstractmethod
    async def book(self) -> tuple[Levels, Levels]:
        """(bids, asks), best first."""

    # -- what others do, and the account's owner by hand

    @abstractmethod
    async def take(self, side: TradeType, amount: Decimal, price: Decimal) -> Decimal:
        """The counterparty takes at up to `price` on `side`; returns how much it got."""

    @abstractmethod
    async def rest(self, side: TradeType, amount: Decimal, price: Decimal) -> str:
        """The counterparty rests an order; returns its id there."""

    @abstractmethod
    async def withdraw(self, exchange_order_id: str) -> None:
        """The counterparty cancels one of its orders."""

    @abstractmethod
    async def place_by_hand(self, side: TradeType, amount: Decimal, price: Decimal) -> str:
        """The owner of the account under test rests an order at the venue's page; returns its id there."""

    @abstractmethod
    async def cancel_by_hand(self, client_order_id: str) -> None: ...

    @abstractmethod
    async def amend_by_hand(self, client_order_id: str, price: Decimal, amount: Decimal) -> None: ...

    @abstractmethod
    async def clean(self) -> None:
        """End every fault, every order and every position of both accounts, let the mark price follow the book, and
        lift the limits again."""

    @abstractmethod
    async def open_account(self, *, hedge: bool = False) -> Account:
        """A fresh account, with `hedge` in hedge mode."""

    # -- what goes wrong

    @abstractmethod
    async def fault(self, fault: Fault, action: Action, **fields: Any) -> None:
        """Adds a rule of qtxconn.sim.faults for `action`; once unless `count` says otherwise."""

    @abstractmethod
    async def refuse(self, refusal: Refusal, action: Action, *, count: int = 1, carried_out: bool = False) -> None:
        """The venue answers `action` with `refusal`; with `carried_out` it does it all the same."""

    @abstractmethod
    def refusal_error(self, refusal: Refusal) -> type[VenueError]:
        """What the connector must make of it."""

    @abstractmethod
    async def skew_clock(self, seconds: float) -> None:
        """The clock that judges requests runs ahead."""

    @abstractmethod
    async def end_faults(self) -> None: ...

    @abstractmethod
    async def idle_faults(self) -> list[str]:
        """The rules in force that have not struck yet."""

    @abstractmethod
    async def disconnect(self) -> None:
        """Every stream connection is closed."""

    @abstractmethod
    async def cut(self) -> None:
        """Nobody's requests come through any more, and every stream connection is closed, until end_faults()."""

    @abstractmethod
    async def expire_user_stream(self) -> None: ...

    @abstractmethod
    async def set_mark_price(self, price: Decimal | None) -> None: ...

    @abstractmethod
    async def settle_funding(self, rate: Decimal) -> None: ...

    @abstractmethod
    async def expire_dated_orders(self) -> None:
        """The date of every open good-till-date order has come."""

    # -- limits

    @abstractmethod
    async def crowd(self, *, requests_left: int | None = None, orders_left: int | None = None) -> None:
        """Sets the limits that the connector expects, and has another program, on the connector's address and account,
        use them up in the window that has begun, but for so many requests (of least weight) or orders."""

    @abstractmethod
    async def refusals(self) -> int:
        """How often the venue itself has refused for a limit so far."""

    @abstractmethod
    async def requests_seen(self) -> int:
        """How many requests have come from the connector's address so far."""


class Target(ABC):
    """An exchange under test."""

    name: str
    trading_pair: str
    quote_asset: str
    order_paths: tuple[str, ...] = ("",)
    """Values of the connector's choice of a way for orders; the first is the default."""

    @abstractmethod
    def venue(self, order_path: str) -> AbstractAsyncContextManager[VenueHand]:
        """Starts the venue and ends it."""

    @abstractmethod
    def make_connector(
        self,
        hand: VenueHand,
        order_path: str,
        account: Account | None = None,
        journal: OrderJournalBase | None = None,
        trading_pairs: list[str] | None = None,
        **options: Any,
    ) -> PerpetualDerivativeBase:
        """A new connector for `account`, by default the one under test; not connected. `options` are those that the
        connector base knows."""

    @abstractmethod
    def has_order_path(self, connector: PerpetualDerivativeBase) -> bool:
        """Whether orders of a ready connector take the way it was made with now, and no substitute."""


_TARGETS = {"binance": ("qtxconn.testing.conformance.binance", "BinanceTarget")}
TARGET_NAMES = tuple(_TARGETS)


def load_target(name: str) -> Target:
    """The target of that name. Raises ConfigurationError when there is none."""
    if name not in _TARGETS:
        raise ConfigurationError(f"there is no exchange {name!r} to certify; choose from: {', '.join(_TARGETS)}")
    module, attribute = _TARGETS[name]
    target: Target = getattr(importlib.import_module(module), attribute)()
    return target
