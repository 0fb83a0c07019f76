"""Types of the base of spot exchanges."""

from qtxconn.core.connector_base import ConnectorBase
from qtxconn.core.types import ConnectorType

class SpotExchangeBase(ConnectorBase):
    connector_type: ConnectorType
