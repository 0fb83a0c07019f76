"""Base of spot exchanges: no positions, so no position actions."""

from qtxconn.core.connector_base cimport ConnectorBase

from qtxconn.core.types import ConnectorType, PositionAction
from qtxconn.errors import OrderValidationError


cdef class SpotExchangeBase(ConnectorBase):
    """Base of spot exchanges."""

    connector_type = ConnectorType.SPOT

    def _position_action(self, trade_type, str trading_pair, position_action, dict options):
        if position_action is not PositionAction.NIL:
            raise OrderValidationError(f"{self.name} is a spot market: orders have no position_action")
        return position_action
