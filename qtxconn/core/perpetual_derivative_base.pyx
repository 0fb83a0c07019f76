"""Base of perpetual-futures exchanges: positions, leverage, funding, mark and index prices."""

from decimal import Decimal

from qtxconn.core.connector_base cimport ConnectorBase

from qtxconn.core.types import AccountEvent, ConnectorType, MarketEvent, PositionMode
from qtxconn.errors import ConfigurationError, OrderValidationError


cdef class PerpetualDerivativeBase(ConnectorBase):
    """Base of perpetual-futures exchanges. Positions are in base asset, negative when short; one-way mode."""

    connector_type = ConnectorType.DERIVATIVE_PERPETUAL

    def __cinit__(self, *args, **kwargs):
        self._positions = {}
        self._funding = {}
        self._leverage = {}
        self._position_mode = PositionMode.ONEWAY

    # -- positions ---------------------------------------------------------------------------------------------

    @property
    def account_positions(self) -> dict:
        """{pair: Position} of all open positions."""
        return dict(self._positions)

    def get_position(self, str trading_pair not None):
        """The pair's Position, or None when flat."""
        return self._positions.get(trading_pair)

    def get_all_positions(self) -> list:
        return list(self._positions.values())

    def get_position_amount(self, str trading_pair not None):
        """Signed position in base asset, 0 when flat."""
        position = self._positions.get(trading_pair)
        return position.amount if position is not None else Decimal(0)

    def _set_position(self, position):
        """For exchanges: takes the venue's newest word on a position; amount 0 removes it."""
        if position.amount:
            self._positions[position.trading_pair] = position
        else:
            self._positions.pop(position.trading_pair, None)
        self._pubsub.publish_to(AccountEvent.PositionUpdate, position)

    @property
    def position_mode(self):
        return self._position_mode

    # -- leverage ----------------------------------------------------------------------------------------------

    def get_leverage(self, str trading_pair not None) -> int:
        return self._leverage.get(trading_pair, 1)

    async def set_leverage(self, str trading_pair not None, int leverage=1):
        """Sets the leverage at the venue. Raises OrderValidationError below 1, VenueError if it refuses."""
        self._require_pair(trading_pair)
        if leverage < 1:
            raise OrderValidationError(f"leverage must be at least 1, not {leverage}")
        await self._set_trading_pair_leverage(trading_pair, leverage)
        self._leverage[trading_pair] = leverage

    # -- prices ------------------------------------------------------------------------------------------------

    def get_funding_info(self, str trading_pair not None):
        """FundingInfo, or None before the first is known. The same holds for the prices below."""
        return self._funding.get(trading_pair)

    def get_funding_rate(self, str trading_pair not None):
        """Rate per funding interval as a fraction (0.0001 = 1 bp)."""
        info = self._funding.get(trading_pair)
        return None if info is None else info.rate

    def get_mark_price(self, str trading_pair not None):
        info = self._funding.get(trading_pair)
        return None if info is None else info.mark_price

    def get_index_price(self, str trading_pair not None):
        info = self._funding.get(trading_pair)
        return None if info is None else info.index_price

    def _set_funding_info(self, info):
        """For exchanges: takes the newest mark price, index price and funding rate."""
        self._funding[info.trading_pair] = info
        self._pubsub.publish_to(MarketEvent.FundingInfo, info)

    # -- becoming ready ----------------------------------------------------------------------------------------

    async def _update_account(self):
        mode = await self._request_position_mode()
        if mode is not PositionMode.ONEWAY:
            raise ConfigurationError(
                f"the {self.name} account is in {mode.value} mode and this connector trades one-way: set the "
                "position mode to one-way at the venue (flat and without open orders), then connect again"
            )
        self._positions.clear()     # a venue lists only what is open: what was closed meanwhile must not stay
        await self._update_positions()

    # -- hooks -------------------------------------------------------------------------------------------------

    async def _update_positions(self):
        """Reads all positions and gives them to _set_position."""
        raise NotImplementedError(f"{type(self).__name__} must define _update_positions")

    async def _start_funding_info(self):
        """Begins to give mark price, index price and funding rate to _set_funding_info. _start_market_data calls it,
        the exchange's own or the one that replaces it."""

    async def _request_position_mode(self):
        """-> PositionMode of the account."""
        raise NotImplementedError(f"{type(self).__name__} must define _request_position_mode")

    async def _set_trading_pair_leverage(self, str trading_pair, int leverage):
        """Sets the leverage; raises VenueError if the venue refuses."""
        raise NotImplementedError(f"{type(self).__name__} must define _set_trading_pair_leverage")
