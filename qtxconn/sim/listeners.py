"""What the venue tells those who listen to it: public data, accounts, and other notices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from decimal import Decimal

    from qtxconn.sim.account import Account, SimPosition
    from qtxconn.sim.conditional import ConditionalOrder
    from qtxconn.sim.model import BookTicker, DepthUpdate, Execution, ExecutionType, MarketTrade, SimOrder


class MarketListener(Protocol):
    """Public data, called synchronously. Must not call the venue: it is in the middle of a step."""

    def on_depth(self, symbol: str, update: DepthUpdate) -> None: ...
    def on_ticker(self, symbol: str, ticker: BookTicker) -> None: ...
    def on_trade(self, symbol: str, trade: MarketTrade) -> None: ...


class AccountListener(Protocol):
    """Private data of every account, called synchronously. Must not call the venue.

    `assets` are (asset, wallet balance) pairs, `positions` the changed positions (live objects: read, not
    kept).
    """

    def on_order(
        self, account: Account, order: SimOrder, execution_type: ExecutionType, execution: Execution | None
    ) -> None: ...
    def on_account(
        self, account: Account, reason: str, assets: list[tuple[str, Decimal]], positions: list[SimPosition]
    ) -> None: ...


class NoticeListener(Protocol):
    """What an account's owner is told besides orders and balances, called synchronously. Must not call the venue."""

    def on_leverage(self, account: Account, symbol: str, leverage: int) -> None: ...
    def on_conditional(self, order: ConditionalOrder) -> None: ...
    def on_margin_call(self, account: Account, positions: list[SimPosition]) -> None: ...
    def on_forced_order(self, order: SimOrder) -> None: ...
