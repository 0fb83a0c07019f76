"""From the journal's records back to orders: what an earlier process had placed, with states, ids and fills."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from qtxconn.core.in_flight_order import InFlightOrder
from qtxconn.core.types import (
    PROVISIONAL_TRADE_ID,
    AddedToCostTradeFee,
    OrderState,
    OrderType,
    PositionAction,
    TokenAmount,
    TradeType,
    TradeUpdate,
)
from qtxconn.errors import ConfigurationError, JournalError

if TYPE_CHECKING:
    from qtxconn.core.connector_base import ConnectorBase

_POSITIONS = (PositionAction.NIL, PositionAction.OPEN, PositionAction.CLOSE)


@dataclass(slots=True)
class JournalledOrder:
    """What the records say of one order."""

    intent: dict[str, Any]
    exchange_order_id: str | None = None
    acknowledged: bool = False
    venue_ns: int = 0
    end: dict[str, Any] | None = None
    fills: dict[str, dict[str, Any]] = field(default_factory=dict)
    more_fees: dict[str, list[TokenAmount]] = field(default_factory=dict)  # by trade id

    def add(self, entry: dict[str, Any]) -> None:
        match entry["kind"]:
            case "ack":
                self.acknowledged = True
                self.exchange_order_id = entry["exchange_order_id"] or self.exchange_order_id
                self.venue_ns = max(self.venue_ns, entry["venue_ns"])
            case "fee":
                self.more_fees.setdefault(entry["trade_id"], []).append(TokenAmount(entry["asset"], entry["amount"]))
            case "fill":
                # Those that no fill followed are from a process that was killed in between; the fill came again.
                waiting = self.more_fees.pop(entry["trade_id"], [])
                fees = [TokenAmount(entry["fee_asset"], entry["fee"])] if entry["fee_asset"] else []
                fees += waiting[len(waiting) - min(entry["more_fees"], len(waiting)) :]
                if entry["trade_id"] not in self.fills:
                    self._replace_provisional(entry)
                    self.fills[entry["trade_id"]] = entry | {"fees": fees}
                self.venue_ns = max(self.venue_ns, entry["venue_ns"])
            case "amend":
                self.intent = self.intent | {"price": entry["price"], "amount": entry["amount"]}
            case "end" | "reject":
                self.end = self.end or entry

    def _replace_provisional(self, real: dict[str, Any]) -> None:
        """A real fill takes the place of provisional ones, oldest first, as far as it goes; of their quote it takes its
        own, and all with the last of one (ClientOrderTracker::share)."""
        if real["trade_id"].startswith(PROVISIONAL_TRADE_ID):
            return
        rest, rest_quote = real["amount"], real["quote"]
        for trade_id, told in list(self.fills.items()):
            if not trade_id.startswith(PROVISIONAL_TRADE_ID):
                continue
            if rest >= told["amount"]:
                amount, quote = told["amount"], told["quote"]
                del self.fills[trade_id]
            else:
                amount, quote = rest, min(rest_quote, told["quote"])
                self.fills[trade_id] = told | {"amount": told["amount"] - amount, "quote": told["quote"] - quote}
            rest, rest_quote = rest - amount, max(rest_quote - quote, Decimal(0))
            if not rest:
                break

    @property
    def executed_base(self) -> Decimal:
        return sum((fill["amount"] for fill in self.fills.values()), Decimal(0))

    @property
    def state(self) -> OrderState:
        """As far as it is known. An end whose fills are not all here does not count: the venue is asked again."""
        if self.end is not None:
            if self.end["kind"] == "reject":
                return OrderState.FAILED
            if self.end["executed_base"] <= self.executed_base:
                return self.end["state"]
        if self.fills:
            return OrderState.PARTIALLY_FILLED
        return OrderState.OPEN if self.acknowledged else OrderState.UNKNOWN

    def build(self) -> InFlightOrder:
        """The order, not tracked yet. Raises JournalError if the fills add up to more than was ordered."""
        intent = self.intent
        order_id = intent["client_order_id"]
        if self.executed_base > intent["amount"]:
            raise JournalError(
                f"the journal's fills of {order_id} add up to {self.executed_base}, more than the {intent['amount']} "
                "ordered: it was not written by qtxconn"
            )
        fills = {trade_id: self._trade_update(fill) for trade_id, fill in self.fills.items()}
        created_s = _seconds(intent["time_ns"])
        data = {
            "client_order_id": order_id,
            "exchange_order_id": self.exchange_order_id,
            "trading_pair": intent["trading_pair"],
            "order_type": OrderType(intent["order_type"]).name,
            "trade_type": TradeType(intent["trade_type"]).name,
            "price": str(intent["price"]) if intent["price"] else None,
            "trigger_price": str(intent["trigger_price"]) if intent["trigger_price"] else None,
            "amount": str(intent["amount"]),
            "executed_amount_base": str(self.executed_base),
            "executed_amount_quote": str(sum((fill["quote"] for fill in self.fills.values()), Decimal(0))),
            "last_state": str(self.state.value),
            "leverage": "1",
            "position": _POSITIONS[intent["position"]].value,
            "creation_timestamp": created_s,
            "last_update_timestamp": _seconds(self.venue_ns) if self.venue_ns else created_s,
            "order_fills": {trade_id: fill.to_json() for trade_id, fill in fills.items()},
        }
        return InFlightOrder.from_json(data)

    def _trade_update(self, fill: dict[str, Any]) -> TradeUpdate:
        return TradeUpdate(
            trade_id=fill["trade_id"],
            client_order_id=self.intent["client_order_id"],
            exchange_order_id=self.exchange_order_id or "",
            trading_pair=self.intent["trading_pair"],
            fill_timestamp=_seconds(fill["venue_ns"]),
            fill_price=fill["price"],
            fill_base_amount=fill["amount"],
            fill_quote_amount=fill["quote"],
            fee=AddedToCostTradeFee(flat_fees=fill["fees"]),
            is_taker=fill["is_taker"],
        )


def _seconds(time_ns: int) -> float:
    return time_ns // 1000 / 1e6


def fold(entries: Iterable[dict[str, Any]]) -> list[JournalledOrder]:
    """The orders that the records tell of, oldest first. Records of orders whose intent is no longer in the file (they
    ended before it was rolled) tell nothing new."""
    orders: dict[int, JournalledOrder] = {}
    for entry in entries:
        if entry["kind"] == "intent":
            orders.setdefault(entry["client_id"], JournalledOrder(entry))
        elif entry["client_id"] in orders:
            orders[entry["client_id"]].add(entry)
    return list(orders.values())


def restore_orders(
    connector: ConnectorBase, entries: Iterable[dict[str, Any]], highest_client_id: int, account: int, path: str
) -> list[InFlightOrder]:
    """Tracks the journal's orders; -> those that had not ended. Ids continue above all of them.

    Raises ConfigurationError, with nothing tracked, if orders that have not ended belong to another account, or their
    ids have another prefix than the connector's.
    """
    tracker = connector._order_tracker
    journalled = fold(entries)
    for record in journalled:
        intent = record.intent
        expected = f"{tracker.client_order_id_prefix}{intent['client_id']}"
        if record.state.is_terminal:
            continue
        if intent["account"] != account:
            raise ConfigurationError(
                f"{path}: order {intent['client_order_id']} in it is another account's; use its API key, or a journal "
                "of its own for each account"
            )
        if intent["client_order_id"] != expected:
            raise ConfigurationError(
                f"{path}: order {intent['client_order_id']} in it does not have client_order_id_prefix "
                f"{tracker.client_order_id_prefix!r}; keep the prefix until its orders have ended"
            )
    orders = [record.build() for record in journalled if record.intent["account"] == account]
    if highest_client_id:
        connector._client_ids.raise_above(highest_client_id)
    for order in orders:
        tracker.start_tracking_order(order)
    return [order for order in orders if order.is_open]
