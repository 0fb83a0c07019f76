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
        # Event class -> whom to call. Replaced, never changed: a listener may add and remove listeners while called.
        self._targets: dict[type, tuple[Listener, ...]] = dict.fromkeys(EVENT_ROUTES, ())
        self.listener_errors = 0

    def add_listener(self, event_tag: Enum, listener: Listener) -> None:
        """Adding the same listener twice is one registration. The connector keeps a strong reference."""
        listeners = self._by_tag.setdefault(event_tag, [])
        if listener not in listeners:
            listeners.append(listener)
            self._find_targets()

    def remove_listener(self, event_tag: Enum, listener: Listener) -> None:
        listeners = self._by_tag.get(event_tag, [])
        if listener in listeners:
            listeners.remove(listener)
            self._find_targets()

    def get_listeners(self, event_tag: Enum) -> list[Listener]:
        return list(self._by_tag.get(event_tag, ()))

    def set_order_event_listener(self, listener: OrderEventListener | None) -> None:
        self._order = listener
        self._find_targets()

    def set_trade_event_listener(self, listener: TradeEventListener | None) -> None:
        self._trade = listener
        self._find_targets()

    def set_error_event_listener(self, listener: ErrorEventListener | None) -> None:
        self._error = listener

    def publish(self, event: object) -> None:
        """Delivers an order or trade event (one of EVENT_ROUTES)."""
        self._call(self._targets[type(event)], event)

    def publish_to(self, event_tag: Enum, event: object) -> None:
        """Delivers an event that only has a tag (funding, position mode, ...)."""
        self._call(tuple(self._by_tag.get(event_tag, ())), event)

    def publish_error(self, event: ErrorEvent) -> None:
        self._logger.warning("%s: %s", event.kind, event.message)
        handler = getattr(self._error, "on_error", None)
        self._call(() if handler is None else (handler,), event)

    def _find_targets(self) -> None:
        for kind, (tag, method) in EVENT_ROUTES.items():
            typed = self._trade if hasattr(TradeEventListener, method) else self._order
            # A listener need not derive from our bases: what it does not define it does not want to hear.
            handler = getattr(typed, method, None)
            self._targets[kind] = (*self._by_tag.get(tag, ()), *(() if handler is None else (handler,)))

    def _call(self, listeners: tuple[Listener, ...], event: object) -> None:
        for listener in listeners:
            try:
                listener(event)
            except Exception:
                self.listener_errors += 1
                self._logger.exception("a listener raised on %s; the others go on", type(event).__name__)
