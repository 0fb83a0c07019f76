"""The one exception tree of the package; venue codes are mapped to these classes by tables, never by text."""

from __future__ import annotations


class QtxconnError(Exception):
    """Root of every error this package raises on purpose."""


class ConfigurationError(QtxconnError, ValueError):
    """A setting is missing, out of range or contradictory; the message names the key and what is allowed."""


class NotReadyError(QtxconnError):
    """The connector cannot do this yet; the message says what it still waits for."""


class JournalError(NotReadyError):
    """The order journal cannot be opened, or cannot keep another order: nothing was sent. Cancels still work."""


class JournalDamagedError(JournalError):
    """Bytes in the middle of the journal are not what was written; `path` and `offset` (in bytes) say where."""

    def __init__(self, message: str, *, path: str, offset: int) -> None:
        super().__init__(message)
        self.path = path
        self.offset = offset


class AmountError(QtxconnError, ArithmeticError):
    """A number cannot be held exactly (more than 18 digits, more than 18 decimals, overflow, NaN)."""


class OrderValidationError(QtxconnError, ValueError):
    """An order breaks the trading rules or is not supported; nothing was sent."""


# -- transport ---------------------------------------------------------------------------------------------


class NetworkError(QtxconnError):
    """The venue could not be reached or the connection broke. Says nothing about what the venue did."""


class RequestTimeoutError(NetworkError, TimeoutError):
    """No answer in time. The request may have been carried out."""


class ConnectionClosedError(NetworkError):
    """The connection closed while, or before, an answer was due."""


class ThrottledError(QtxconnError):
    """The local rate limit has no room for `retry_after` seconds. Nothing was sent: a definite refusal."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class CircuitOpenError(ThrottledError):
    """Requests of this kind have failed too often in a row; for `retry_after` seconds none is sent."""


class MessageError(QtxconnError):
    """Bytes from outside are not what the wire contract says."""


# -- the venue's word --------------------------------------------------------------------------------------


class VenueError(QtxconnError):
    """The venue answered with an error.

    `code` is the venue's own code (None when it gave none), `venue_message` its text, `http_status` the HTTP
    status where there was one.
    """

    def __init__(self, message: str, *, code: int | str | None = None, http_status: int | None = None) -> None:
        super().__init__(message if code is None else f"{message} (code {code})")
        self.code = code
        self.venue_message = message
        self.http_status = http_status


class OutcomeUnknownError(VenueError):
    """The venue itself says it does not know what became of the request (HTTP 5xx, Binance -1006 / -1007)."""


class RateLimitedError(VenueError):
    """Too many requests; nothing may be sent before `retry_after` seconds have passed."""

    def __init__(
        self,
        message: str,
        *,
        code: int | str | None = None,
        http_status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, code=code, http_status=http_status)
        self.retry_after = retry_after


class AuthenticationError(VenueError):
    """Key, signature or permission refused."""


class TimestampError(VenueError):
    """The request's timestamp lies outside the venue's window: the clock is off, or the request was late."""


class InvalidRequestError(VenueError):
    """The venue could not make sense of the request."""


class OrderRejectedError(VenueError):
    """The venue refused the order: it does not live there and never did."""


class InsufficientBalanceError(OrderRejectedError):
    """Not enough balance or margin."""


class PostOnlyRejectedError(OrderRejectedError):
    """A post-only order would have taken liquidity."""


class ReduceOnlyRejectedError(OrderRejectedError):
    """A reduce-only order would not have reduced the position."""


class DuplicateOrderIdError(OrderRejectedError):
    """An order with this client order id exists already."""


class OrderNotFoundError(VenueError):
    """The venue does not know the order (any more)."""


# Errors of a submit after which the order certainly does not live at the venue: it refused it, or we never sent it.
_DEFINITE_REFUSALS = (
    OrderRejectedError,
    InvalidRequestError,
    AuthenticationError,
    TimestampError,
    ThrottledError,
    OrderValidationError,
    ConfigurationError,
    AmountError,
    NotReadyError,
)


def is_definite_refusal(error: BaseException) -> bool:
    """Whether this error of a submit ends the order. A duplicate id means that an order with it exists: look it up."""
    return isinstance(error, _DEFINITE_REFUSALS) and not isinstance(error, DuplicateOrderIdError)


# -- QTX ---------------------------------------------------------------------------------------------------


class SegmentError(QtxconnError):
    """The shared-memory segment is missing, has the wrong size, owner or mode, or was replaced."""


class QueueFullError(OrderRejectedError):
    """Every slot of the shared-memory queue is in use. The order was not published: a definite refusal."""
