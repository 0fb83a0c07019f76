"""Types of what the core asks of a journal of orders."""

from qtxconn.core.connector_base import ConnectorBase
from qtxconn.core.in_flight_order import InFlightOrder

class OrderJournalBase:
    @property
    def refusal(self) -> str | None: ...
    def restore(self, connector: ConnectorBase) -> list[InFlightOrder]: ...
    def maintain(self) -> None: ...
