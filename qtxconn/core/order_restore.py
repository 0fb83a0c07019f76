"""Taking over the orders that an earlier process left in the journal, before new ones are placed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from qtxconn.errors import NotReadyError

if TYPE_CHECKING:
    from qtxconn.core.connector_base import ConnectorBase
    from qtxconn.core.in_flight_order import InFlightOrder

ANSWER_TIMEOUT_S = 30.0  # waited for answers, beyond the time that the questions take


def track_restored_orders(connector: ConnectorBase) -> list[InFlightOrder]:
    """Tracks what the journal has, before the user stream can speak of it; -> the orders that had not ended."""
    if connector._journal is None or not connector._trading_required:
        return []
    return connector._journal.restore(connector)


async def settle_restored_orders(connector: ConnectorBase, orders: list[InFlightOrder]) -> None:
    """Asks the venue about the orders until each has an answer: found, with its fills, or gone for certain. Raises
    NotReadyError where the venue does not answer."""
    asking = {task: order for order in orders if (task := connector._resolve(order)) is not None}
    if not asking:
        return
    patience_s = connector.submit_dead_after_s + sum(connector.lookup_delays_s) + ANSWER_TIMEOUT_S
    timer = asyncio.ensure_future(connector._clock.sleep(patience_s))
    pending = set(asking)
    try:
        while pending and not timer.done():
            done, _ = await asyncio.wait({*pending, timer}, return_when=asyncio.FIRST_COMPLETED)
            pending -= done
    finally:
        timer.cancel()
    if pending:
        named = ", ".join(sorted(asking[task].client_order_id for task in pending)[:3])
        raise NotReadyError(
            f"{connector.name} is not ready: the venue does not say what became of {len(pending)} orders of an earlier "
            f"process ({named}{', ...' if len(pending) > 3 else ''}); connect again"
        )
