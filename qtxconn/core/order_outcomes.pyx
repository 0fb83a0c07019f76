"""What became of a connector's orders: the venue's answers, and what is done where there is none.

The way of an outcome that nobody told reads from _order_unknown() down.
"""

import asyncio

from qtxconn.core.connector_hooks cimport ConnectorHooks
from qtxconn.core.in_flight_order cimport InFlightOrder

from qtxconn.core.events import ErrorEvent
from qtxconn.core.types import OrderState, OrderUpdate
from qtxconn.errors import (
    InvalidRequestError,
    MessageError,
    NetworkError,
    NotReadyError,
    OrderNotFoundError,
    OutcomeUnknownError,
    QtxconnError,
    ThrottledError,
    VenueError,
)


def _is_refusal(error) -> bool:
    """Whether a cancel or an amend was certainly not carried out, by the venue's word or because it was never sent:
    then the order is as it was."""
    return isinstance(error, (VenueError, ThrottledError, NotReadyError)) and not isinstance(
        error, (OrderNotFoundError, OutcomeUnknownError)
    )


def _is_denial(error, InFlightOrder order) -> bool:
    """Whether the venue says that there is no such order; of an adopted one also, that what was given as its id is
    none."""
    return isinstance(error, OrderNotFoundError) or (order.is_external and isinstance(error, InvalidRequestError))


def _outgrow(fills, InFlightOrder order, update) -> bool:
    """Whether there are more executions than this answer about the order knows of: an amend may have come in between,
    so the order has to be asked for again before they are applied."""
    booked = order.order_fills
    new = sum(fill.fill_base_amount for fill in fills if fill.trade_id not in booked)
    counted = (update.misc_updates or {}).get("cumulative_base")
    return order.executed_amount_base + new > (order.amount if counted is None else counted)


cdef class OrderOutcomes(ConnectorHooks):
    """The part of ConnectorBase that finds out what became of orders. All methods are for the event loop's thread."""

    def __cinit__(self, *args, **kwargs):
        self._tasks = set()
        self._placing = set()
        self._resolving = {}

    # -- the venue's word --------------------------------------------------------------------------------------

    def _order_accepted(self, str client_order_id, str exchange_order_id, double timestamp_s):
        """The venue has taken the order; `timestamp_s` by its clock."""
        order = self._order_tracker.fetch_order(client_order_id)
        if order is not None:
            self._order_tracker.process_order_update(
                OrderUpdate(order.trading_pair, timestamp_s, OrderState.OPEN, client_order_id, exchange_order_id)
            )

    def _order_rejected(self, str client_order_id, error):
        """The order certainly does not live at the venue: refused by its word, or by us before sending."""
        order = self._order_tracker.fetch_order(client_order_id)
        if order is not None:
            self._order_tracker.mark_failed(order, error)

    def _order_unknown(self, str client_order_id, error):
        """No answer, or one that says nothing about the order: it stays tracked and is looked up at the venue."""
        order = self._order_tracker.fetch_tracked_order(client_order_id)
        if order is None or order.acked_ns:
            return      # the user stream has shown it meanwhile
        self._order_tracker.mark_unknown(order)
        self._alarm("outcome_unknown", f"{client_order_id}: no word on the order ({type(error).__name__}: {error}); "
                    "asking the venue", client_order_id, error)
        self._resolve(order)

    def _cancel_accepted(self, str client_order_id, double timestamp_s, executed_base=None):
        """The venue confirms the cancel; `executed_base` is the executed amount its answer counts, where it says."""
        order = self._order_tracker.fetch_tracked_order(client_order_id)
        if order is not None:
            misc = None if executed_base is None else {"cumulative_base": executed_base}
            self._order_tracker.process_order_update(
                OrderUpdate(order.trading_pair, timestamp_s, OrderState.CANCELED, client_order_id, None, misc)
            )

    def _cancel_failed(self, str client_order_id, error):
        """The cancel did not go through. What became of the order is asked, never assumed."""
        order = self._order_tracker.fetch_tracked_order(client_order_id)
        if order is None:
            return
        settled = _is_refusal(error)
        self._order_tracker.revert_pending(order)
        if isinstance(error, OrderNotFoundError):
            self._order_tracker.note_not_found(order)
        if settled:
            self._alarm("cancel_failed", f"{client_order_id}: not cancelled: {error}", client_order_id, error)
        else:
            self._logger.info("%s: cancel unanswered or order not found (%s); asking the venue", client_order_id, error)
        self._resolve(order, None if settled else error)

    def _amend_failed(self, InFlightOrder order, error):
        """The amend did not go through, or nobody said so. What the order is now is asked, never assumed."""
        self._order_tracker.revert_pending(order)
        if isinstance(error, OrderNotFoundError):
            self._order_tracker.note_not_found(order)
        order_id = order.client_order_id
        if _is_refusal(error):
            self._alarm("amend_failed", f"{order_id}: not amended: {error}", order_id, error)
        else:
            self._alarm("amend_unanswered", f"{order_id}: no word on the amend ({type(error).__name__}: {error}); "
                        "asking the venue", order_id, error)
        self._resolve(order)

    def _process_report(self, update, fill=None):
        """For exchanges: applies all that the venue says of an order in one answer, or in one event, with the execution
        that it tells of (TradeUpdate)."""
        self._process_amend(update)
        if fill is not None:
            self._order_tracker.process_trade_update(fill)
        self._order_tracker.process_order_update(update)

    def _process_amend(self, update):
        """For exchanges: takes over price and amount of an order as a report shows them, if they are new. Before its
        fills, which may exceed the amount that it had."""
        misc = update.misc_updates
        amount = misc.get("amount") if misc else None
        if amount is None:
            return
        cdef InFlightOrder order = self._order_tracker.fetch_order(update.client_order_id, update.exchange_order_id)
        if order is None or order.is_done:
            return
        price = misc.get("price")
        changes = {}
        if amount != order.amount:
            changes["amended_amount"] = amount
        if price and price != order.price and order.order_type.is_limit_type():
            changes["amended_price"] = price
        if changes:
            self._order_tracker.process_order_update(
                update._replace(new_state=OrderState.OPEN, misc_updates=changes)
            )

    # -- finding out -------------------------------------------------------------------------------------------

    def _resolve(self, InFlightOrder order, cancel_error=None):
        """Asks in the background what became of an order; once at a time for each. `cancel_error`: why a cancel was
        not confirmed, reported if the order turns out to be open still."""
        order_id = order.client_order_id
        asking = order_id in self._resolving
        if cancel_error is not None or not asking:
            self._resolving[order_id] = cancel_error
        if asking:
            return None
        task = self._spawn(self._resolve_order(order), f"resolve {order_id}")
        task.add_done_callback(lambda _: self._resolving.pop(order_id, None))
        return task

    async def _resolve_order(self, InFlightOrder order):
        attempt = 0
        since_ns = self._clock.monotonic_ns()
        life = (order.acked_ns, order.last_update_timestamp)
        while order.is_open:
            delay = self.lookup_delays_s[min(attempt, len(self.lookup_delays_s) - 1)]
            attempt += 1
            if delay:
                await self._clock.sleep(delay)
            try:
                await self._refresh_order(order)
            except Exception as error:
                if order.is_done:
                    break       # it was refused while we asked
                if not _is_denial(error, order):
                    self._logger.info("%s: asking the venue failed (%s); trying again", order.client_order_id, error,
                                      exc_info=None if isinstance(error, QtxconnError) else error)
                    if attempt == len(self.lookup_delays_s) and not isinstance(error, NetworkError):
                        self._alarm("lookup_failed", f"{order.client_order_id}: the venue's answers do not say what "
                                    f"became of the order ({type(error).__name__}: {error}); asking on",
                                    order.client_order_id, error)
                    continue
                # Evidence only once the request can no longer be accepted; before that it may still be on its way.
                # Counted from the first question, by a clock that no step moves: a single miss ends no order. And from
                # the last word of the order: what the venue's stream shows, its queries may not see yet.
                now_ns = self._clock.monotonic_ns()
                seen = (order.acked_ns, order.last_update_timestamp)
                if order.client_order_id in self._placing or seen != life:
                    since_ns, life = now_ns, seen
                elif now_ns - since_ns >= self.submit_dead_after_s * 1e9:
                    self._order_absent(order, error)
            else:
                if order.current_state is not OrderState.UNKNOWN and not order.awaits_fills:
                    break
        cancel_error = self._resolving.get(order.client_order_id)
        if cancel_error is not None and order.is_open and not order.is_pending_cancel_confirmation:
            self._alarm("cancel_failed", f"{order.client_order_id}: not cancelled ({cancel_error}); the order is "
                        f"{order.current_state.name}", order.client_order_id, cancel_error)

    def _order_absent(self, InFlightOrder order, error):
        """The venue says, and keeps saying, that there is no such order. One that it never acknowledged has failed;
        one that it had acknowledged has ended there in a way we did not see."""
        if order.acked_ns != 0:
            past = "it was adopted, and the venue does not know it" if order.is_external else (
                "the venue had accepted it and no longer knows it")
            self._alarm("order_vanished", f"{order.client_order_id}: {past} ({error}); it counts as cancelled",
                        order.client_order_id, error)
        self._order_tracker.mark_absent(order, error)

    async def _refresh_order(self, InFlightOrder order):
        """Reads an order's state and fills from the venue and applies both, the fills first."""
        executed = order.executed_amount_base   # before asking: a fill that comes meanwhile may hide a lost one
        update = await self._request_order_status(order)
        self._process_amend(update)
        venue_id = update.exchange_order_id
        if venue_id and venue_id != order.exchange_order_id and update.new_state is not OrderState.FAILED:
            # The first word of it, or of the order that its trigger placed: fills are asked for by the venue's id.
            self._order_accepted(order.client_order_id, venue_id, update.update_timestamp)
        counted = (update.misc_updates or {}).get("cumulative_base")
        if counted is None or counted > executed:
            fills = await self._all_trade_updates_for_order(order)
            if _outgrow(fills, order, update):
                update = await self._request_order_status(order)
                self._process_amend(update)
            for fill in fills:
                self._order_tracker.process_trade_update(fill)
        self._order_tracker.process_order_update(update)

    async def _recover_orders(self, double since_s):
        """Reads the states of all open orders, and what was executed on their pairs from this venue time on. Raises
        what the venue's answers raise, but for what is wrong with single orders: one that is not found, or of which an
        answer cannot be read, must not keep the others from being recovered. Its own look-up decides."""
        orders = list(self._order_tracker.active_orders.values())
        found = {}      # (pair, venue id) -> order, its state, its fills
        answers = await asyncio.gather(*map(self._request_order_status, orders), return_exceptions=True)
        for order, answer in zip(orders, answers, strict=True):
            if isinstance(answer, MessageError) or _is_denial(answer, order):
                self._look_up_alone(order, answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                self._process_amend(answer)
                found[answer.trading_pair, answer.exchange_order_id] = (order, answer, [])
        for trading_pair in {order.trading_pair for order in orders}:
            try:
                fills = await self._trade_updates_since(trading_pair, since_s)
            except MessageError as error:
                for key in [key for key in found if key[0] == trading_pair]:
                    self._look_up_alone(found.pop(key)[0], error)
                continue
            for fill in fills:
                if (trading_pair, fill.exchange_order_id) in found:
                    found[trading_pair, fill.exchange_order_id][2].append(fill)
        for order, update, fills in found.values():
            if _outgrow(fills, order, update):
                update = await self._request_order_status(order)
                self._process_amend(update)
            for fill in fills:
                self._order_tracker.process_trade_update(fill._replace(client_order_id=update.client_order_id))
            self._order_tracker.process_order_update(update)

    def _look_up_alone(self, InFlightOrder order, error):
        self._logger.info("%s: %s; its own look-up decides", order.client_order_id, error)
        self._resolve(order)

    async def _order_refresh_loop(self):
        """Every second: orders whose end is reported but whose fills are missing. Every status_poll_interval_s, and
        when the user stream is back: all."""
        elapsed = 0.0
        while True:
            await self._clock.sleep(1.0)
            self._order_tracker.expire()
            elapsed += 1.0
            everything = self._poll_due or elapsed >= self.status_poll_interval_s
            if everything:
                elapsed = 0.0
                self._poll_due = False
            if self._journal is not None:
                self._journal.maintain()
            for order in self._order_tracker.active_orders.values():
                if not (everything or order.awaits_fills):
                    continue
                try:
                    await self._refresh_order(order)
                except OrderNotFoundError:
                    self._order_tracker.note_not_found(order)
                    self._resolve(order)
                except Exception as error:
                    self._logger.info("%s: status poll failed (%s); trying again", order.client_order_id, error,
                                      exc_info=None if isinstance(error, QtxconnError) else error)
                    self._resolve(order)    # what the stream missed is not left to the next poll
                else:
                    self._order_tracker.settle_with_provisional_fill(order, self.provisional_fill_after_s)

    # -- tasks -------------------------------------------------------------------------------------------------

    def _spawn(self, coroutine, str name not None):
        """Runs a coroutine until disconnect(). An exception is reported as an error event, never lost."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            coroutine.close()
            raise NotReadyError(f"{self.name} works inside a running asyncio event loop; there is none here") from None
        task = loop.create_task(coroutine, name=f"{self.name} {name}")
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)
        return task

    def _on_task_done(self, task):
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            error = task.exception()
            self._alarm("task", f"{task.get_name()} ended with {type(error).__name__}: {error}", error=error)
            self._logger.error("%s failed", task.get_name(), exc_info=error)

    def _alarm(self, str kind, str message, str order_id=None, error=None):
        self._pubsub.publish_error(ErrorEvent(self.current_timestamp, kind, message, order_id, error))
