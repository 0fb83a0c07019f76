"""Binance request authentication: parameters off the wire, key lookup, signature and the receive window.

Source of the rules: Binance USD-M "General Info", SIGNED endpoint security. A signature covers the query
string directly followed by the body, exactly as sent, without the `signature` parameter itself. It is lower-case
hex HMAC-SHA256 or, for accounts opened with an Ed25519 key, that key's signature in base64.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from qtxconn.errors import ConfigurationError
from qtxconn.sim.binance.errors import ApiError, bad_api_key, mandatory

if TYPE_CHECKING:
    from qtxconn.sim.venue import Account, Venue

RECV_WINDOW_DEFAULT_MS = 5_000
RECV_WINDOW_MAX_MS = 60_000
# A timestamp may run this far ahead of the venue's clock.
TIMESTAMP_AHEAD_MAX_MS = 1_000


def without_signature(raw: bytes) -> bytes:
    """One urlencoded part byte for byte as it was sent, without its `signature` pair."""
    pairs = raw.split(b"&")
    kept = [pair for pair in pairs if not pair.startswith(b"signature=")]
    return raw if len(kept) == len(pairs) else b"&".join(kept)


def parse_params(query: bytes, body: bytes) -> dict[str, str]:
    """Parameters of query and form body as text. A name sent in both counts as in the query.

    Raises ApiError -1100 when a part is not urlencoded UTF-8.
    """
    params: dict[str, str] = {}
    try:
        for part in (body, query):
            params.update(parse_qsl(part.decode(), keep_blank_values=True, errors="strict", max_num_fields=200))
    except ValueError:
        raise ApiError(-1100, "Illegal characters found in a parameter.") from None
    return params


def sign(secret: str, payload: bytes) -> str:
    """Lower-case hex HMAC-SHA256 of `payload`."""
    return hmac.digest(secret.encode(), payload, "sha256").hex()


def ws_api_payload(params: Mapping[str, str]) -> bytes:
    """What a WebSocket-API request signs: its parameters sorted by name, `k=v` joined by `&`, not encoded."""
    return "&".join(f"{key}={params[key]}" for key in sorted(params) if key != "signature").encode()


def find_account(venue: Venue, api_key: str | None) -> Account:
    """The account of a key. Raises ApiError -2014 (no key) or -2015 (a key nobody has, or no more), both HTTP 401."""
    if not api_key:
        raise ApiError(-2014, "API-key format invalid.", status=401)
    account = venue.account(api_key)
    if account is None or account.is_key_revoked:
        raise bad_api_key()
    return account


def verify(account: Account, payload: bytes, params: Mapping[str, str], now_ms: int) -> None:
    """Checks signature and timestamp of one request at venue time `now_ms`.

    Raises ApiError -1102 (missing or malformed), -1022 (signature), -1131 (recvWindow) or -1021 (timestamp).
    """
    if _milliseconds(params, "timestamp") is None:
        raise mandatory("timestamp")
    signature = params.get("signature")
    if not signature:
        raise mandatory("signature")
    if account.public_key:
        valid = _ed25519_valid(account.public_key, payload, signature)
    else:
        valid = hmac.compare_digest(sign(account.api_secret, payload).encode(), signature.encode())
    if not valid:
        raise ApiError(-1022, "Signature for this request is not valid.")
    check_window(params, now_ms)


def parse_public_key(text: str) -> bytes:
    """The 32 raw bytes of an Ed25519 public key in base64, alone or as SubjectPublicKeyInfo (the body of a PEM).

    Raises ConfigurationError for anything else, and where the cryptography package is missing.
    """
    try:
        import cryptography.hazmat.primitives.asymmetric.ed25519  # noqa: F401 - an extra: found out here, not later
    except ImportError:
        raise ConfigurationError("Ed25519 accounts need the extra: pip install 'qtxconn[ed25519]'") from None
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        raw = b""
    if len(raw) not in (32, 44):
        raise ConfigurationError("an Ed25519 public key is 32 bytes, or 44 as SubjectPublicKeyInfo, in base64")
    return raw[-32:]


def _ed25519_valid(public_key: bytes, payload: bytes, signature: str) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(base64.b64decode(signature, validate=True), payload)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def check_window(params: Mapping[str, str], now_ms: int) -> None:
    """Raises ApiError -1102, -1131 (recvWindow) or -1021 (timestamp)."""
    timestamp = _milliseconds(params, "timestamp")
    if timestamp is None:
        raise mandatory("timestamp")
    window = _milliseconds(params, "recvWindow")
    if window is None:
        window = RECV_WINDOW_DEFAULT_MS
    if window > RECV_WINDOW_MAX_MS:
        raise ApiError(-1131, "recvWindow must be less than 60000.")
    if timestamp > now_ms + TIMESTAMP_AHEAD_MAX_MS or timestamp < now_ms - window:
        raise ApiError(-1021, "Timestamp for this request is outside of the recvWindow.")


def json_text(value: object) -> str:
    """A JSON value as a parameter's text, the way clients write it into the payload they sign."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _milliseconds(params: Mapping[str, str], name: str) -> int | None:
    text = params.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise mandatory(name)
    return int(text)
