"""Base of perpetual-futures exchanges: positions and their mode, leverage, funding, mark and index prices."""

from decimal import Decimal

from qtxconn.core.connector_base cimport ConnectorBase

from qtxconn.core.events import FundingPaymentCompletedEvent, MarginCallEvent, PositionModeChangeEvent
from qtxconn.core.types import (
    AccountEvent,
    ConnectorType,
    MarginType,
    MarketEvent,
    PositionAction,
    PositionMode,
    PositionSide,
)
from qtxconn.errors import ConfigurationError, OrderValidationError, QtxconnError, VenueError

FUNDING_LOOKUP_DELAYS_S = (0.0, 1.0, 5.0, 30.0)
FUNDING_RETRY_S = 10.0
FUNDING_OVERLAP_S = 3600.0      # payments are asked for again from this long before the newest one


def _position_key(str trading_pair, position_side) -> str:
    return trading_pair if position_side is None else f"{trading_pair}{position_side.name}"


cdef class PerpetualDerivativeBase(ConnectorBase):
    """Base of perpetual-futures exchanges. Positions are in base asset, negative when short.

    `position_mode` is what the account must be in: ONEWAY, one position a pair, or HEDGE, a LONG and a SHORT one.
    """

    connector_type = ConnectorType.DERIVATIVE_PERPETUAL
    supported_position_modes = (PositionMode.ONEWAY,)
    reports_funding_payments = False    # _request_funding_payments is written

    def __cinit__(self, *args, **kwargs):
        self._positions = {}
        self._funding = {}
        self._leverage = {}
        self._position_mode = PositionMode.ONEWAY
        self._booked_funding = {}
        self._funding_booked_s = -1.0   # not connected yet

    def __init__(self, trading_pairs=None, bint trading_required=True, *, position_mode=PositionMode.ONEWAY, **options):
        super().__init__(trading_pairs, trading_required, **options)
        try:
            self._require_position_mode(position_mode)
        except OrderValidationError as error:
            raise ConfigurationError(str(error)) from None
        self._position_mode = position_mode

    # -- positions ---------------------------------------------------------------------------------------------

    @property
    def account_positions(self) -> dict:
        """{key: Position} of all open positions; the key is the pair, in hedge mode with LONG or SHORT behind it."""
        return dict(self._positions)

    def get_position(self, str trading_pair not None, position_side=None):
        """The pair's Position, or None when flat; in hedge mode `position_side` says which one."""
        if self._position_mode is not PositionMode.HEDGE:
            return self._positions.get(trading_pair)
        if position_side is None:
            raise OrderValidationError("in hedge mode a pair has two positions: name the position_side, LONG or SHORT")
        return self._positions.get(_position_key(trading_pair, position_side))

    def get_all_positions(self) -> list:
        return list(self._positions.values())

    def get_position_amount(self, str trading_pair not None, position_side=None):
        """Signed position in base asset, 0 when flat; in hedge mode without a `position_side` both, netted."""
        sides = (None,)
        if self._position_mode is PositionMode.HEDGE:
            sides = (PositionSide.LONG, PositionSide.SHORT) if position_side is None else (position_side,)
        found = [self._positions.get(_position_key(trading_pair, side)) for side in sides]
        return sum((position.amount for position in found if position is not None), Decimal(0))

    def _set_positions(self, list positions, double venue_s=0.0):
        """For exchanges: takes the list of all open positions; what is held here and not in it is closed. It may list
        pairs without one, for their leverage."""
        for position in positions:
            if position.leverage:
                self._set_leverage(position.trading_pair, int(position.leverage), venue_s)
        named = {(position.trading_pair, position.position_side) for position in positions if position.amount}
        for held in self.get_all_positions():
            if (held.trading_pair, held.position_side) not in named:
                self._set_position(held._replace(amount=Decimal(0)), venue_s)
        for position in positions:
            if position.amount:
                self._set_position(position, venue_s)

    def _set_position(self, position, double venue_s=0.0):
        """For exchanges: takes the venue's word on a position; amount 0 removes it. A side that the position mode does
        not have is left out: BOTH in hedge mode, the others in one-way mode. With `venue_s`, the venue's time of the
        message or before the request, an older word than the newest is left out. A leverage of 0 is one that was not
        told: it is the pair's."""
        is_hedged = self._position_mode is PositionMode.HEDGE
        if (position.position_side is PositionSide.BOTH) is is_hedged:
            return
        key = _position_key(position.trading_pair, position.position_side if is_hedged else None)
        if not self._is_news(("position", key), venue_s):
            return
        if not position.leverage:
            position = position._replace(leverage=Decimal(self.get_leverage(position.trading_pair)))
        if position.amount:
            self._positions[key] = position
        else:
            self._positions.pop(key, None)
        self._pubsub.publish_to(AccountEvent.PositionUpdate, position)

    # -- position mode and margin ------------------------------------------------------------------------------

    @property
    def position_mode(self):
        return self._position_mode

    async def set_position_mode(self, mode):
        """Switches the account, and this connector, to a PositionMode; works from initialize() on. Events tell it too.

        Raises OrderValidationError for a mode that the connector does not know, VenueError if the venue refuses (most
        do while there are positions or open orders).
        """
        self._require_position_mode(mode)
        try:
            await self._place_position_mode(mode)
        except VenueError as error:
            event = PositionModeChangeEvent(self.current_timestamp, mode, str(error))
            self._pubsub.publish_to(AccountEvent.PositionModeChangeFailed, event)
            raise
        self._position_mode = mode
        self._positions.clear()
        await self._update_positions()
        event = PositionModeChangeEvent(self.current_timestamp, mode)
        self._pubsub.publish_to(AccountEvent.PositionModeChangeSucceeded, event)

    def _require_position_mode(self, mode):
        if mode not in self.supported_position_modes:
            names = ", ".join(f"PositionMode.{known.name}" for known in self.supported_position_modes)
            raise OrderValidationError(f"position_mode is {mode!r}; {self.name} knows {names}")

    async def set_margin_type(self, str trading_pair not None, margin_type):
        """Sets a pair's margin to MarginType CROSS or ISOLATED. Raises VenueError if the venue refuses (most do while
        the pair has a position or open orders)."""
        self._require_pair(trading_pair)
        if not isinstance(margin_type, MarginType):
            raise OrderValidationError(f"margin_type is {margin_type!r}; it must be a MarginType")
        await self._place_margin_type(trading_pair, margin_type)

    def _position_action(self, trade_type, str trading_pair, position_action, dict options):
        if position_action is PositionAction.NIL and self._position_mode is PositionMode.HEDGE:
            raise OrderValidationError(
                "in hedge mode an order names its position_action, OPEN or CLOSE: an opening buy and a closing sell "
                "are for the long position, the others for the short one"
            )
        return position_action

    # -- leverage ----------------------------------------------------------------------------------------------

    def get_leverage(self, str trading_pair not None) -> int:
        return self._leverage.get(trading_pair, 1)

    async def set_leverage(self, str trading_pair not None, int leverage=1):
        """Sets the leverage at the venue. Raises OrderValidationError below 1, VenueError if it refuses."""
        self._require_pair(trading_pair)
        if leverage < 1:
            raise OrderValidationError(f"leverage must be at least 1, not {leverage}")
        await self._set_trading_pair_leverage(trading_pair, leverage)
        self._set_leverage(trading_pair, leverage, self._venue_time_s())

    def _set_leverage(self, str trading_pair, int leverage, double venue_s=0.0):
        """For exchanges: the pair's leverage as the venue has it, also in its positions; see _set_position."""
        if not self._is_news(("leverage", trading_pair), venue_s):
            return
        self._leverage[trading_pair] = leverage
        for key, position in self._positions.items():
            if position.trading_pair == trading_pair and position.leverage != leverage:
                self._positions[key] = position._replace(leverage=Decimal(leverage))

    def _margin_called(self, position, mark_price, maintenance_margin):
        """For exchanges: the venue warns that a position is near its liquidation."""
        self._logger.warning("margin call: %s %s of %s", position.trading_pair, position.position_side.name,
                             position.amount)
        self._pubsub.publish_to(AccountEvent.MarginCall, MarginCallEvent(
            self.current_timestamp, position.trading_pair, position.position_side, position.amount, mark_price,
            position.unrealized_pnl, maintenance_margin,
        ))

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
        if mode is not self._position_mode:
            name, known = self._position_mode.name, mode in self.supported_position_modes
            raise ConfigurationError(
                f"the {self.name} account is in {mode.name} mode and this connector is for {name}: "
                f"{f'make it with position_mode=PositionMode.{mode.name}, or ' if known else ''}switch the account "
                f"while it is flat and without open orders (initialize(), then set_position_mode(PositionMode.{name}))"
            )
        self._positions.clear()     # a venue lists only what is open: what was closed meanwhile must not stay
        await self._update_positions()
        if not self.reports_funding_payments:
            return
        if self._funding_booked_s < 0.0:    # the first connect(): what was paid before is not ours to tell
            self._funding_booked_s = self._funding_since_s = self._venue_time_s()
        else:
            await self._update_funding_payments()

    async def _recover(self):
        await ConnectorBase._recover(self)
        if self.reports_funding_payments:
            self._funding_paid()

    async def _refresh_account(self):
        await ConnectorBase._refresh_account(self)
        await self._update_positions()

    # -- funding payments --------------------------------------------------------------------------------------

    def _funding_paid(self):
        """For exchanges: a funding payment was announced, or may have been missed. It is booked once it can be read."""
        self._spawn(self._book_funding_payments(), "funding payments")

    async def _book_funding_payments(self):
        # The venue's record may come later than its announcement. A look-up that fails is none.
        for delay in FUNDING_LOOKUP_DELAYS_S:
            await self._clock.sleep(delay)
            while True:
                try:
                    await self._update_funding_payments()
                    break
                except QtxconnError as error:
                    self._logger.warning("funding payments could not be read: %s; trying again in %.0f s", error,
                                         FUNDING_RETRY_S)
                await self._clock.sleep(FUNDING_RETRY_S)

    async def _update_funding_payments(self):
        """Tells every payment since the first connect() that is not booked yet, each once by the venue's id."""
        payments = await self._request_funding_payments(max(0.0, self._funding_booked_s - FUNDING_OVERLAP_S))
        for payment in sorted(payments, key=lambda payment: payment.timestamp):
            if payment.timestamp < self._funding_since_s or payment.payment_id in self._booked_funding:
                continue
            rate = None
            try:
                rate = await self._request_settled_funding_rate(payment.trading_pair, payment.timestamp)
            except QtxconnError as error:
                self._logger.info("%s: the settled funding rate could not be read: %s", payment.trading_pair, error)
            if payment.payment_id in self._booked_funding:
                continue    # by another look-up meanwhile
            self._booked_funding[payment.payment_id] = payment.timestamp
            self._pubsub.publish_to(MarketEvent.FundingPaymentCompleted, FundingPaymentCompletedEvent(
                payment.timestamp, self.name, payment.trading_pair, payment.amount, rate
            ))
        self._funding_booked_s = max(self._funding_booked_s, max(self._booked_funding.values(), default=0.0))
        for payment_id, timestamp in list(self._booked_funding.items()):
            if timestamp < self._funding_booked_s - FUNDING_OVERLAP_S:
                del self._booked_funding[payment_id]    # it is not asked for again

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

    async def _place_position_mode(self, mode):
        """Has the venue switch the position mode; one that is set already is no error."""
        raise NotImplementedError(f"{type(self).__name__} must define _place_position_mode")

    async def _place_margin_type(self, str trading_pair, margin_type):
        """Has the venue switch a pair's margin type; one that is set already is no error."""
        raise NotImplementedError(f"{type(self).__name__} must define _place_margin_type")

    async def _request_funding_payments(self, double since_s):
        """-> list[FundingPayment] from this venue time on, in seconds; 0: the latest ones."""
        raise NotImplementedError(f"{type(self).__name__} must define _request_funding_payments")

    async def _request_settled_funding_rate(self, str trading_pair, double timestamp_s):
        """-> the rate that was settled at this venue time, or None."""
        return None
