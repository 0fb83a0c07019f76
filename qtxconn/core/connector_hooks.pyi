"""Types of what an exchange writes."""

from decimal import Decimal
from typing import Any

from qtxconn.core.in_flight_order import InFlightOrder
from qtxconn.core.trading_rule import TradingRule
from qtxconn.core.types import ConnectorType, OrderType, OrderUpdate, PositionAction, TradeType, TradeUpdate
from qtxconn.errors import VenueError

ORDER_HOOKS: tuple[str, ...]

def missing_order_hooks(connector_class: type) -> list[str]: ...

class ConnectorHooks:
    name: str
    domain: str
    connector_type: ConnectorType | None
    client_order_id_max_length: int
    client_order_id_bits: int
    is_cancel_request_in_exchange_synchronous: bool
    cancels_by_client_id: bool
    submit_dead_after_s: float
    lookup_delays_s: tuple[float, ...]
    status_poll_interval_s: float
    supports_amend: bool
    supported_time_in_force: tuple[str, ...]
    itemised_fills: bool
    provisional_fill_after_s: float
    market_data_timeout_s: float
    async def _start_network(self) -> None: ...
    async def _stop_network(self) -> None: ...
    async def _request_trading_rules(self) -> list[TradingRule]: ...
    async def _start_user_stream(self) -> None: ...
    async def _stop_user_stream(self) -> None: ...
    async def _update_balances(self) -> None: ...
    async def _update_account(self) -> None: ...
    async def _start_market_data(self) -> None: ...
    async def _stop_market_data(self) -> None: ...
    async def _place_order(
        self,
        order_id: str,
        trading_pair: str,
        amount: Decimal,
        trade_type: TradeType,
        order_type: OrderType,
        price: Decimal | None,
        position_action: PositionAction = ...,
        **options: Any,
    ) -> tuple[str, float]: ...
    async def _place_cancel(self, order_id: str, tracked_order: InFlightOrder) -> OrderUpdate | bool: ...
    async def _place_amend(
        self, order_id: str, tracked_order: InFlightOrder, price: Decimal, amount: Decimal
    ) -> OrderUpdate: ...
    async def _request_order_status(self, tracked_order: InFlightOrder) -> OrderUpdate: ...
    async def _all_trade_updates_for_order(self, order: InFlightOrder) -> list[TradeUpdate]: ...
    def parse_error(self, code: int | str, message: str, http_status: int | None = None) -> VenueError: ...
    def parse_order_result(self, payload: dict[str, Any]) -> OrderUpdate: ...
