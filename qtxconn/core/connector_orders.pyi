"""Types of a connector's orders; underscored names are what an exchange overrides or calls."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NamedTuple

from qtxconn.core.client_ids import ClientIdSource
from qtxconn.core.in_flight_order import InFlightOrder
from qtxconn.core.order_outcomes import OrderOutcomes
from qtxconn.core.trading_rule import TradingRule
from qtxconn.core.types import OrderRequest, OrderType, OrderUpdate, PositionAction, TradeType

class CancellationResult(NamedTuple):
    order_id: str
    success: bool

class BatchOrderResult(NamedTuple):
    order_id: str | None
    error: Exception | None = None

CANCEL_ALL_GRACE_S: float
OPEN_ORDERS_TIMEOUT_S: float

class ConnectorOrders(OrderOutcomes):
    # -- rules
    def supported_order_types(self) -> list[OrderType]: ...
    def get_maker_order_type(self) -> OrderType: ...
    def get_taker_order_type(self) -> OrderType: ...
    def quantize_order_price(
        self, trading_pair: str, price: Decimal | int | str, trade_type: TradeType | None = None
    ) -> Decimal: ...
    def quantize_order_amount(self, trading_pair: str, amount: Decimal | int | str) -> Decimal: ...
    def generate_client_order_id(self) -> str: ...

    # -- orders
    def buy(
        self,
        trading_pair: str,
        amount: Decimal | int | str,
        order_type: OrderType = ...,
        price: Decimal | int | str | None = None,
        *,
        position_action: PositionAction = ...,
        **options: Any,
    ) -> str: ...
    def sell(
        self,
        trading_pair: str,
        amount: Decimal | int | str,
        order_type: OrderType = ...,
        price: Decimal | int | str | None = None,
        *,
        position_action: PositionAction = ...,
        **options: Any,
    ) -> str: ...
    def amend(
        self,
        trading_pair: str,
        client_order_id: str,
        *,
        price: Decimal | int | str | None = None,
        amount: Decimal | int | str | None = None,
    ) -> bool: ...
    def cancel(self, trading_pair: str, client_order_id: str) -> bool: ...
    def adopt_external_order(
        self,
        trading_pair: str,
        exchange_order_id: str,
        trade_type: TradeType,
        amount: Decimal | int | str,
        order_type: OrderType = ...,
        price: Decimal | int | str | None = None,
        *,
        client_order_id: str | None = None,
        position_action: PositionAction = ...,
    ) -> str: ...
    def batch_order_create(self, orders: Iterable[OrderRequest]) -> list[BatchOrderResult]: ...
    def batch_order_cancel(self, orders: Iterable[InFlightOrder]) -> list[bool]: ...
    async def cancel_all(self, timeout_seconds: float = 10.0) -> list[CancellationResult]: ...
    async def get_open_orders(self, trading_pair: str | None = None) -> list[OrderUpdate]: ...

    # -- what an exchange reads and calls
    @property
    def _client_ids(self) -> ClientIdSource: ...
    @property
    def _trading_required(self) -> bool: ...
    @property
    def _trading_rules(self) -> dict[str, TradingRule]: ...

    # -- what an exchange writes
    def _submit_order(self, order: InFlightOrder) -> None: ...
    def _submit_cancel(self, order: InFlightOrder) -> None: ...
    def _submit_orders(self, orders: list[InFlightOrder]) -> dict[str, Exception]: ...
    def _submit_cancels(self, orders: list[InFlightOrder]) -> None: ...
    def _submit_cancel_all(self, trading_pair: str, orders: list[InFlightOrder]) -> None: ...
    def _check_order_options(self, order_type: OrderType, options: dict[str, Any]) -> None: ...
