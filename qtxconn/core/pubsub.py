"""Delivery of events to listeners: by tag, and to the typed order, trade and error listeners."""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum

from qtxconn.core.events import (
    EVENT_ROUTES,
    ErrorEvent,
    ErrorEventListener,
    OrderEventListener,
    OrderFilledEvent,
    TradeEventListener,
)

Listener = Callable[[object], None]


class PubSub:
    """Calls listeners in the order they were added. One that raises is logged and counted, and stops nobody."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._by_tag: dict[Enum, list[Listener]] = {}
        self._order: OrderEventListener | None = None
        self._trade: TradeEventListener | None = None
        self._error: ErrorEventListener | None = None
        self.listener_errors = 0

    def add_listener(self, event_tag: Enum, listener: Listener) -> None:
        """Adding the same listener twice is one registration. The connector keeps a strong reference."""
        listeners = self._by_tag.setdefault(event_tag, [])
        if listener not in listeners:
            listeners.append(listener)

    def remove_listener(self, event_tag: Enum, listener: Listener) -> None:
        listeners = self._by_tag.get(event_tag, [])
        if listener in listeners:
            listeners.remove(listener)

    def get_listeners(self, event_tag: Enum) -> list[Listener]:
        return list(self._by_tag.get(event_tag, ()))

    def set_order_event_listener(self, listener: OrderEventListener | None) -> None:
        self._order = listener

    def set_trade_event_listener(self, listener: TradeEventListener | None) -> None:
        self._trade = listener

    def set_error_event_listener(self, listener: ErrorEventListener | None) -> None:
        self._error = listener

    def publish(self, event: object) -> None:
        """Delivers an order or trade event (one of EVENT_ROUTES)."""
        tag, method = EVENT_ROUTES[type(event)]
        for listener in tuple(self._by_tag.get(tag, ())):
            self._call(listener, event)
        self._call_typed(self._trade if type(event) is OrderFilledEvent else self._order, method, event)

    def publish_to(self, event_tag: Enum, event: object) -> None:
        """Delivers an event that only has a tag (funding, position mode, ...)."""
        for listener in tuple(self._by_tag.get(event_tag, ())):
            self._call(listener, event)

    def publish_error(self, event: ErrorEvent) -> None:
        self._logger.warning("%s: %s", event.kind, event.message)
        self._call_typed(self._error, "on_error", event)

    def _call_typed(self, listener: object, method: str, event: object) -> None:
        # A listener need not derive from our bases: what it does not define it does not want to hear.
        handler = getattr(listener, method, None)
        if handler is not None:
            self._call(handler, event)

    def _call(self, listener: Listener, event: object) -> None:
        try:
            listener(event)
        except Exception:
            self.listener_errors += 1
            self._logger.exception("a listener raised on %s; the others go on", type(event).__name__)
