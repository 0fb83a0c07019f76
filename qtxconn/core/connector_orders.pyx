"""A connector's orders: placing, amending and cancelling, alone and in batches.

The way of an order reads from buy() down.
"""

import asyncio
from typing import NamedTuple

from qtxconn.core.fixed cimport Fixed, fixed_from, fixed_to_decimal
from qtxconn.core.in_flight_order cimport InFlightOrder
from qtxconn.core.order_outcomes cimport OrderOutcomes
from qtxconn.core.trading_rule cimport TradingRule

from qtxconn.core.order_options import check_order_options
from qtxconn.core.types import OrderState, OrderType, OrderUpdate, PositionAction, TradeType
from qtxconn.errors import (
    AmountError,
    MessageError,
    NotReadyError,
    OrderNotFoundError,
    OrderValidationError,
    OutcomeUnknownError,
    QtxconnError,
    is_definite_refusal,
)


_AMENDABLE = (OrderState.OPEN, OrderState.PARTIALLY_FILLED)
_AMENDABLE_TYPES = (OrderType.LIMIT, OrderType.LIMIT_MAKER)


class CancellationResult(NamedTuple):
    order_id: str
    success: bool


class BatchOrderResult(NamedTuple):
    """One order of a batch: its client order id, or why it was not even tracked."""

    order_id: str | None
    error: Exception | None = None


CANCEL_ALL_GRACE_S = 1.0    # what the user stream gets to tell the ends, before each order is asked about
OPEN_ORDERS_TIMEOUT_S = 10.0


def _chunks(list orders, int size):
    return [orders[first:first + size] for first in range(0, len(orders), size)]


cdef class ConnectorOrders(OrderOutcomes):
    """The part of ConnectorBase that has to do with orders. All methods are for the event loop's thread."""

    def __cinit__(self, *args, **kwargs):
        self._trading_rules = {}
        self._order_options = {}

    # -- rules -------------------------------------------------------------------------------------------------

    def supported_order_types(self) -> list:
        return [OrderType.LIMIT, OrderType.MARKET]

    def get_maker_order_type(self):
        types = self.supported_order_types()
        return OrderType.LIMIT_MAKER if OrderType.LIMIT_MAKER in types else OrderType.LIMIT

    def get_taker_order_type(self):
        types = self.supported_order_types()
        return OrderType.MARKET if OrderType.MARKET in types else OrderType.LIMIT

    def quantize_order_price(self, str trading_pair not None, price, trade_type=None):
        """`price` on the pair's grid: passive for the given side (a buy rounds down, a sell up), down without one."""
        cdef TradingRule rule = self._require_pair(trading_pair)
        return fixed_to_decimal(rule.c_quantize_price(fixed_from(price), trade_type is TradeType.SELL))

    def quantize_order_amount(self, str trading_pair not None, amount):
        """`amount` rounded down to the pair's lot."""
        cdef TradingRule rule = self._require_pair(trading_pair)
        return fixed_to_decimal(rule.c_quantize_amount(fixed_from(amount)))

    def generate_client_order_id(self) -> str:
        """A client order id that was never used and never will be again; where the venue's ids are small numbers that
        run out, that no order known here has."""
        while True:
            client_order_id = f"{self._order_tracker.client_order_id_prefix}{self._client_ids.c_next()}"
            if self.client_order_id_bits == 63 or self._order_tracker.fetch_order(client_order_id) is None:
                return client_order_id

    cdef int c_require_connected(self) except -1:
        if not (self._connected and self._trading_required):
            raise NotReadyError(self.not_ready_reason or f"{self.name} was made with trading_required=False")
        return 0

    def _require_pair(self, str trading_pair):
        rule = self._trading_rules.get(trading_pair)
        if rule is None:
            known = ", ".join(self._trading_rules) or "none yet: call connect() first"
            raise OrderValidationError(f"{self.name} does not trade {trading_pair!r} here; trading pairs: {known}")
        return rule

    # -- placing -----------------------------------------------------------------------------------------------

    def buy(
        self, str trading_pair not None, amount, order_type=OrderType.LIMIT, price=None, *,
        position_action=PositionAction.NIL, **options
    ) -> str:
        """Places a buy order and returns its client order id at once; events tell the rest.

        `amount` in base asset is rounded down to the lot, `price` in quote per base down to the tick (up for a sell),
        the `trigger_price` of a conditional order to the side on which it is reached later; the further keywords are
        checked by qtxconn.core.order_options. When this returns the order is tracked. Raises, with nothing sent and
        nothing tracked, OrderValidationError where the order breaks the rules and NotReadyError before connect() or
        without `trading_required`.
        """
        return self.c_create_order(
            TradeType.BUY, trading_pair, amount, order_type, price, position_action, options
        ).client_order_id

    def sell(
        self, str trading_pair not None, amount, order_type=OrderType.LIMIT, price=None, *,
        position_action=PositionAction.NIL, **options
    ) -> str:
        """Places a sell order; see buy()."""
        return self.c_create_order(
            TradeType.SELL, trading_pair, amount, order_type, price, position_action, options
        ).client_order_id

    cdef InFlightOrder c_create_order(
        self, object trade_type, str trading_pair, object amount, object order_type, object price,
        object position_action, dict options
    ):
        order = self.c_track_order(trade_type, trading_pair, amount, order_type, price, position_action, options)
        try:
            self._submit_order(order)
        except Exception as error:
            if self._submit_refused(order, error):
                raise
        return order

    def _submit_refused(self, InFlightOrder order, error) -> bool:
        """What follows from an exception of _submit_order: True if nothing left, and the order never was."""
        if is_definite_refusal(error):
            self._take_order_options(order.client_order_id)
            self._order_tracker.withdraw_order(order, error)
            return True
        self._order_unknown(order.client_order_id, error)
        return False

    cdef InFlightOrder c_track_order(
        self, object trade_type, str trading_pair, object amount, object order_type, object price,
        object position_action, dict options
    ):
        self.c_require_connected()
        cdef TradingRule rule = self._require_pair(trading_pair)
        if order_type not in self.supported_order_types():
            names = ", ".join(f"OrderType.{kind.name}" for kind in self.supported_order_types())
            raise OrderValidationError(f"order_type is {order_type!r}; {self.name} takes {names}")
        is_limit = order_type.is_limit_type()
        if not (rule.supports_limit_orders if is_limit else rule.supports_market_orders):
            raise OrderValidationError(f"{trading_pair} takes no {order_type.name} orders at {self.name}")
        if is_limit and price is None:
            raise OrderValidationError(f"a {order_type.name} order needs a price")
        cdef bint is_conditional = order_type.is_conditional()
        if options or is_conditional:
            self._check_order_options(order_type, options)
        cdef Fixed c_amount = self._exact(amount, "amount")
        cdef Fixed c_price
        if price is not None and (is_limit or price == price):     # Hummingbot's market orders have the price NaN
            c_price = self._exact(price, "price")
        self._fit(rule, trade_type, &c_price, &c_amount, is_limit)
        trigger_price = None
        if is_conditional and options.get("trigger_price") is not None:
            trigger_price = self._fit_trigger(rule, order_type.triggers_on_rise(trade_type), options["trigger_price"])
            options = options | {"trigger_price": trigger_price}
        cdef InFlightOrder order = InFlightOrder(
            self.generate_client_order_id(),
            trading_pair,
            order_type,
            trade_type,
            fixed_to_decimal(c_amount),
            self.current_timestamp,
            fixed_to_decimal(c_price) if c_price.units else None,
            position=self._position_action(trade_type, trading_pair, position_action, options),
            trigger_price=trigger_price,
        )
        if self._journal is not None:
            number = self._order_tracker.c_client_id(order.client_order_id)
            self._journal.c_write_order(order, number, self.submit_dead_after_s)
        self._order_tracker.start_tracking_order(order)
        if options:
            self._order_options[order.client_order_id] = options
        return order

    def _take_order_options(self, str client_order_id) -> dict:
        """For transports that override _submit_order: the extra keywords of buy() or sell(), handed out once."""
        return self._order_options.pop(client_order_id, {})

    def _check_order_options(self, order_type, dict options):
        """Refuses options that the venue would, before anything is tracked."""
        check_order_options(self, order_type, options)

    cdef int _fit(self, TradingRule rule, object trade_type, Fixed* price, Fixed* amount, bint is_limit) except -1:
        """Rounds both to the rule's grid: the amount down, the price to the passive side."""
        try:
            amount[0] = rule.c_quantize_amount(amount[0])
            price[0] = rule.c_quantize_price(price[0], trade_type is TradeType.SELL)
        except AmountError as error:
            raise OrderValidationError(f"{rule.trading_pair}: {error}") from None
        violation = rule.c_violation(price[0], amount[0], is_limit)
        if violation is not None:
            raise OrderValidationError(violation)
        return 0

    cdef object _fit_trigger(self, TradingRule rule, bint up, object trigger_price):
        """A trigger price on the grid, never one that is reached earlier than the given one."""
        cdef Fixed trigger = self._exact(trigger_price, "trigger_price")
        try:
            trigger = rule.c_quantize_price(trigger, up)
        except AmountError as error:
            raise OrderValidationError(f"{rule.trading_pair}: trigger_price: {error}") from None
        fitted = fixed_to_decimal(trigger)
        if fitted <= 0 or fitted < rule.min_price or 0 < rule.max_price < fitted:
            raise OrderValidationError(
                f"{rule.trading_pair}: trigger_price {fitted} is outside {rule.min_price} to {rule.max_price}"
            )
        return fitted

    cdef Fixed _exact(self, object value, str what) except *:
        try:
            return fixed_from(value)
        except AmountError as error:
            raise OrderValidationError(f"{what}: {error}") from None

    def _position_action(self, trade_type, str trading_pair, position_action, dict options):
        """For derivatives: fills in what the caller left open, and adds to `options` what follows from it."""
        return position_action

    def _submit_order(self, InFlightOrder order):
        """Sends a tracked order. Transports that publish without waiting override this and report with
        _order_accepted, _order_rejected or _order_unknown."""
        task = self._spawn(self._place_order_and_process_update(order), f"place {order.client_order_id}")
        task.add_done_callback(lambda _: self._on_place_done(order))

    def _on_place_done(self, InFlightOrder order):
        self._placing.discard(order.client_order_id)
        if order.submitted_ns == 0:     # stopped before its first step
            self._take_order_options(order.client_order_id)
            self._order_rejected(order.client_order_id, NotReadyError("disconnected before the order was sent"))

    async def _place_order_and_process_update(self, InFlightOrder order):
        options = self._take_order_options(order.client_order_id)
        self._placing.add(order.client_order_id)
        self._order_tracker.mark_submitted(order)
        try:
            exchange_order_id, timestamp = await self._place_order(
                order.client_order_id, order.trading_pair, order.amount, order.trade_type, order.order_type,
                order.price, position_action=order.position, **options,
            )
            if not isinstance(exchange_order_id, str):
                raise TypeError(f"_place_order must return (exchange order id as str, seconds), "
                                f"not {exchange_order_id!r}")
            timestamp = float(timestamp)
        except asyncio.CancelledError:
            if order.acked_ns == 0:
                self._order_tracker.mark_unknown(order)
            raise
        except Exception as error:
            self._place_failed(order, error)
        else:
            self._order_accepted(order.client_order_id, exchange_order_id, timestamp)

    def _place_failed(self, InFlightOrder order, error):
        if is_definite_refusal(error):
            self._order_rejected(order.client_order_id, error)
        else:
            self._order_unknown(order.client_order_id, error)

    # -- batches -----------------------------------------------------------------------------------------------

    def batch_order_create(self, orders) -> list:
        """Places several orders (OrderRequest) with as few requests as the venue allows: [BatchOrderResult], one for
        each, in their order, at once; events tell the rest.

        Each is checked and tracked on its own as buy() does: what is refused here keeps no other from being sent, and
        what the venue refuses, or leaves without an answer, is that one order's matter.
        """
        results = []
        tracked = []
        for request in orders:
            try:
                order = self.c_track_order(
                    request.trade_type, request.trading_pair, request.amount, request.order_type, request.price,
                    request.position_action, dict(request.options),
                )
            except Exception as error:      # whatever is wrong with it, those before it are tracked
                results.append(BatchOrderResult(None, error))
            else:
                tracked.append(order)
                results.append(BatchOrderResult(order.client_order_id))
        refused = self._submit_orders(tracked)
        return [BatchOrderResult(None, refused[r.order_id]) if r.order_id in refused else r for r in results]

    def _submit_orders(self, list orders) -> dict:
        """Sends tracked orders: in batches where the venue has them, else one by one, as conditional orders always are.
        -> {client order id: error} of those that were refused before anything left."""
        refused = {}
        plain = [order for order in orders if not order.order_type.is_conditional()]
        conditional = [order for order in orders if order.order_type.is_conditional()]
        for chunk in _chunks(plain, max(1, self.batch_size_max)) + _chunks(conditional, 1):
            if len(chunk) > 1:
                task = self._spawn(self._place_batch_and_process_updates(chunk), f"place {len(chunk)} orders")
                task.add_done_callback(lambda _, chunk=chunk: [self._on_place_done(order) for order in chunk])
                continue
            try:
                self._submit_order(chunk[0])
            except Exception as error:
                if self._submit_refused(chunk[0], error):
                    refused[chunk[0].client_order_id] = error
        return refused

    async def _place_batch_and_process_updates(self, list orders):
        options = [self._take_order_options(order.client_order_id) for order in orders]
        for order in orders:
            self._placing.add(order.client_order_id)
            self._order_tracker.mark_submitted(order)
        try:
            answers = await self._place_order_batch(orders, options)
            if len(answers) != len(orders):
                raise MessageError(f"{len(answers)} answers to a batch of {len(orders)} orders")
        except asyncio.CancelledError:
            for order in orders:
                if order.acked_ns == 0:
                    self._order_tracker.mark_unknown(order)
            raise
        except Exception as error:
            answers = [error] * len(orders)
        for order, answer in zip(orders, answers):
            if isinstance(answer, Exception):
                self._place_failed(order, answer)
            else:
                self._order_accepted(order.client_order_id, *answer)

    def batch_order_cancel(self, orders) -> list:
        """Asks the venue to cancel several orders (whatever has `trading_pair` and `client_order_id`) with as few
        requests as it allows: for each, in their order, whether it was asked, as cancel() returns it. Raises
        NotReadyError as cancel() does."""
        self.c_require_connected()
        asked = []
        waiting = {}        # pair -> orders
        for named in orders:
            order = self._order_tracker.fetch_tracked_order(named.client_order_id)
            if order is None or order.trading_pair != named.trading_pair or order.is_pending_cancel_confirmation:
                asked.append(False)
                continue
            self._order_tracker.mark_pending_cancel(order)
            waiting.setdefault(order.trading_pair, []).append(order)
            asked.append(True)
        for of_pair in waiting.values():
            self._submit_cancels(of_pair)
        return asked

    def _submit_cancels(self, list orders):
        """Sends cancels of one pair's orders: in batches where the venue has them. One that the venue may not have yet
        goes alone, so that it can follow its order, and so does that of a conditional order."""
        alone, plain = [], []
        for order in orders:
            (alone if not order.acked_ns or order.order_type.is_conditional() else plain).append(order)
        for chunk in _chunks(plain, max(1, self.batch_cancel_size_max)):
            if len(chunk) == 1:
                alone += chunk
            else:
                self._spawn_change(self._cancel_batch_and_process_updates(chunk), chunk)
        for order in alone:
            self._submit_cancel(order)

    def _spawn_change(self, coroutine, list orders):
        task = self._spawn(coroutine, f"cancel {len(orders)} orders")
        task.add_done_callback(lambda task: [self._on_change_done(task, order) for order in orders])

    async def _cancel_batch_and_process_updates(self, list orders):
        try:
            answers = await self._place_cancel_batch(orders)
            if len(answers) != len(orders):
                raise MessageError(f"{len(answers)} answers to a batch of {len(orders)} cancels")
        except Exception as error:
            answers = [error] * len(orders)
        for order, answer in zip(orders, answers):
            if isinstance(answer, Exception):
                self._cancel_failed(order.client_order_id, answer)
            else:
                self._process_report(answer)

    # -- cancelling --------------------------------------------------------------------------------------------

    def cancel(self, str trading_pair not None, str client_order_id not None) -> bool:
        """Asks the venue to cancel; events tell the result. False, with nothing sent, if the order has ended, is being
        cancelled already, or is not known here. Raises NotReadyError before connect() and after disconnect()."""
        self.c_require_connected()
        order = self._order_tracker.fetch_tracked_order(client_order_id)
        if order is None or order.trading_pair != trading_pair or order.is_pending_cancel_confirmation:
            return False
        self._order_tracker.mark_pending_cancel(order)
        try:
            self._submit_cancel(order)
        except BaseException:
            self._order_tracker.revert_pending(order)
            raise
        return True

    def adopt_external_order(
        self, str trading_pair not None, str exchange_order_id not None, trade_type, amount, order_type=OrderType.LIMIT,
        price=None, *, str client_order_id=None, position_action=PositionAction.NIL
    ) -> str:
        """Takes in a live order that was not placed here, asks for its state and executions, and returns the id to
        cancel it by; see ClientOrderTracker.adopt_external_order."""
        self._require_pair(trading_pair)
        order = self._order_tracker.adopt_external_order(
            trading_pair, exchange_order_id, trade_type, amount, order_type, price, client_order_id, position_action
        )
        self._resolve(order)
        return order.client_order_id

    async def cancel_all(self, double timeout_seconds=10.0) -> list:
        """Cancels every open order, waits until each has ended, and asks the venue what is left: [CancellationResult]
        with success False for orders that had not ended in time, and for every order on the trading pairs that the
        venue still has and that is not known here (it is told as OrphanOrderEvent too).

        Where several orders of a pair are open and the venue can empty the pair at once (`supports_cancel_all`), that
        is what is asked: it also ends what was placed on the pair from elsewhere. Raises NotReadyError as cancel()
        does.
        """
        self.c_require_connected()
        orders = list(self._order_tracker.active_orders.values())
        by_pair = {}
        for order in orders:
            by_pair.setdefault(order.trading_pair, []).append(order)
        for trading_pair, of_pair in by_pair.items():
            self._submit_cancel_all(trading_pair, of_pair)
        await self._wait_until_done(orders, timeout_seconds)
        results = [CancellationResult(order.client_order_id, order.is_done) for order in orders]
        return results + [CancellationResult(order_id, False) for order_id in await self._unknown_open_orders()]

    @staticmethod
    async def _wait_until_done(list orders, double timeout_seconds):
        waits = [asyncio.ensure_future(order.wait_until_done()) for order in orders]
        if waits:
            try:
                await asyncio.wait(waits, timeout=timeout_seconds)
            finally:
                for wait in waits:
                    wait.cancel()
                await asyncio.gather(*waits, return_exceptions=True)

    def _submit_cancel_all(self, str trading_pair, list orders):
        """Sends the cancels of all the pair's orders. What the venue may not have yet is cancelled on its own."""
        acked = [order for order in orders if order.acked_ns]
        if self.supports_cancel_all and len(acked) > 1:
            for order in acked:
                if not order.is_pending_cancel_confirmation:
                    self._order_tracker.mark_pending_cancel(order)
            self._spawn_change(self._cancel_pair(trading_pair, acked), acked)
            orders = [order for order in orders if not order.acked_ns]
        for order in orders:
            self.cancel(trading_pair, order.client_order_id)

    async def _cancel_pair(self, str trading_pair, list orders):
        """Empties a pair by the venue's own means; what does not end by that is cancelled one by one."""
        try:
            await self._place_cancel_all(trading_pair)
        except Exception as error:
            self._logger.warning("%s: cancelling all at once failed (%s); cancelling each", trading_pair, error)
        else:
            grace = asyncio.ensure_future(self._clock.sleep(CANCEL_ALL_GRACE_S))
            ends = [asyncio.ensure_future(order.wait_until_done()) for order in orders]
            every = asyncio.gather(*ends)
            try:
                await asyncio.wait([grace, every], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in (grace, every):
                    wait.cancel()
                await asyncio.gather(grace, every, return_exceptions=True)
        for order in orders:
            if not order.is_done:
                self._order_tracker.revert_pending(order)
                self.cancel(trading_pair, order.client_order_id)

    async def _unknown_open_orders(self) -> list:
        """Ids of orders that the venue has open and that are not known here."""
        if not (self.supports_open_orders and self._connected):
            return []
        try:
            async with asyncio.timeout(OPEN_ORDERS_TIMEOUT_S):
                updates = await self.get_open_orders()
        except (QtxconnError, TimeoutError) as error:
            self._alarm("open_orders", f"open orders could not be read after cancel_all: {error}", error=error)
            return []
        return [update.client_order_id or update.exchange_order_id for update in updates
                if self._order_tracker.fetch_order(update.client_order_id, update.exchange_order_id) is None]

    async def get_open_orders(self, str trading_pair=None) -> list:
        """What the venue has open now, on one trading pair or on all: [OrderUpdate], tracked here or not. A live order
        that stays unknown here is told as OrphanOrderEvent. Raises OrderValidationError where the venue has no such
        query, and what its answer raises."""
        if not self.supports_open_orders:
            raise OrderValidationError(f"{self.name} cannot list open orders")
        if trading_pair is not None:
            self._require_pair(trading_pair)
        updates = []
        for pair in ([trading_pair] if trading_pair is not None else list(self._trading_rules)):
            updates += await self._request_open_orders(pair)
        for update in updates:
            self._process_report(update)
        return updates

    def _submit_cancel(self, InFlightOrder order):
        """Sends a cancel. Transports that publish without waiting override this and report with _cancel_accepted or
        _cancel_failed."""
        task = self._spawn(self._place_cancel_and_process_update(order), f"cancel {order.client_order_id}")
        task.add_done_callback(lambda task: self._on_change_done(task, order))

    def _on_change_done(self, task, InFlightOrder order):
        if task.cancelled():    # by disconnect(): the order can be cancelled or amended again later
            self._order_tracker.revert_pending(order)

    async def _place_cancel_and_process_update(self, InFlightOrder order):
        try:
            answer = await self._place_cancel_behind_order(order)
        except Exception as error:
            self._cancel_failed(order.client_order_id, error)
        else:
            if isinstance(answer, OrderUpdate):
                self._process_report(answer)
            elif not answer:
                self._cancel_failed(order.client_order_id, OutcomeUnknownError("the venue did not confirm the cancel"))
            elif self.is_cancel_request_in_exchange_synchronous:
                self._cancel_accepted(order.client_order_id, 0.0)

    async def _place_cancel_behind_order(self, InFlightOrder order):
        """Sends the cancel, again if the first one may have overtaken the order on its way to the venue."""
        if order.acked_ns == 0:
            if self.cancels_by_client_id:
                try:
                    return await self._place_cancel(order.client_order_id, order)
                except OrderNotFoundError:
                    pass
            await order.wait_until_processed_by_exchange()
            if order.is_done:
                raise OrderNotFoundError(f"{order.client_order_id} ended before it could be cancelled")
        return await self._place_cancel(order.client_order_id, order)

    # -- amending ----------------------------------------------------------------------------------------------

    def amend(self, str trading_pair not None, str client_order_id not None, *, price=None, amount=None) -> bool:
        """Asks the venue to change a live limit order's price (quote per base) and/or its whole amount (base asset,
        what is executed included), both rounded as buy() does; events tell the result.

        False, with nothing sent, if the order is not known here, has ended, or waits for the venue's word: on itself,
        on another amend, on a cancel. Raises OrderValidationError where the change breaks the rules, is none, or would
        leave nothing to execute, and NotReadyError before connect().
        """
        self.c_require_connected()
        cdef TradingRule rule = self._require_pair(trading_pair)
        if not self.supports_amend:
            raise OrderValidationError(f"{self.name} does not amend orders: cancel and place anew")
        if price is None and amount is None:
            raise OrderValidationError("an amend needs a price or an amount")
        cdef InFlightOrder order = self._order_tracker.fetch_tracked_order(client_order_id)
        if order is None or order.trading_pair != trading_pair or order.current_state not in _AMENDABLE:
            return False
        if order.order_type not in _AMENDABLE_TYPES:
            raise OrderValidationError(f"{client_order_id} is a {order.order_type.name} order; only limits are amended")
        cdef Fixed c_price = self._exact(order.price if price is None else price, "price")
        cdef Fixed c_amount = self._exact(order.amount if amount is None else amount, "amount")
        self._fit(rule, order.trade_type, &c_price, &c_amount, True)
        new_price, new_amount = fixed_to_decimal(c_price), fixed_to_decimal(c_amount)
        if (new_price, new_amount) == (order.price, order.amount):
            raise OrderValidationError(f"{client_order_id} has price {new_price} and amount {new_amount} already")
        if new_amount <= order.executed_amount_base:
            raise OrderValidationError(
                f"{client_order_id}: amount {new_amount} leaves nothing to execute ({order.executed_amount_base} is "
                "executed): cancel the order instead"
            )
        self._order_tracker.mark_pending_update(order)
        amending = self._place_amend_and_process_update(order, new_price, new_amount)
        task = self._spawn(amending, f"amend {client_order_id}")
        task.add_done_callback(lambda task: self._on_change_done(task, order))
        return True

    async def _place_amend_and_process_update(self, InFlightOrder order, price, amount):
        try:
            update = await self._place_amend(order.client_order_id, order, price, amount)
        except Exception as error:
            self._amend_failed(order, error)
        else:
            self._process_report(update)
            self._order_tracker.revert_pending(order)   # should the answer show nothing new
