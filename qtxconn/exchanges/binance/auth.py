"""Binance request signing: HMAC-SHA256, Ed25519 or RSA over the query exactly as it goes on the wire.

Source: Binance USD-M "General Info", SIGNED endpoint security. An HMAC signature is lower-case hex; those of private
keys are base64, percent-encoded in a query. RSA is PKCS #1 v1.5 over SHA-256.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from qtxconn.errors import ConfigurationError
from qtxconn.net.rest import RestRequest

KEY_FILE_BYTES_MAX = 64 * 1024
_BLOCK_BYTES = 64  # of SHA-256

Signer = Callable[[bytes], str]
"""The signature of a payload, as text."""


class BinanceAuth:
    """Signs with a key pair. The secret lives only inside the signer; nothing shows either of the two.

    `api_secret` is the HMAC secret that came with the key or, for a key made from a key pair, the private key: as PEM
    text ("-----BEGIN ..."), or the path of a .pem file. Raises ConfigurationError for a key that cannot be used.
    """

    __slots__ = ("_key", "_now_ms", "_recv_window_ms", "_signer", "can_log_on", "key_digest")

    def __init__(
        self, api_key: str, api_secret: str, now_ms: Callable[[], int], recv_window_ms: int, passphrase: str = ""
    ) -> None:
        for name, value in (("api_key", api_key), ("api_secret", api_secret)):
            if not isinstance(value, str):
                raise ConfigurationError(f"binance_perpetual_{name}: must be text, not {type(value).__name__}")
        is_pem, is_path = api_secret.lstrip().startswith("-----BEGIN"), api_secret.endswith(".pem")
        for name, value in (("api_key", api_key), ("api_secret", "" if is_pem or is_path else api_secret)):
            if not (value.isascii() and value.isprintable() and value == value.strip()):
                raise ConfigurationError(
                    f"binance_perpetual_{name}: has a line break, a space at an end or a character that is not ASCII; "
                    "copy it again"
                )
        self._key = api_key
        self.key_digest = sha256(api_key.encode()).hexdigest()  # tells accounts apart without giving the key away
        self.can_log_on = False  # the venue takes session.logon with Ed25519 keys only
        if is_pem:
            self._signer, self.can_log_on = _private_key_signer(api_secret.encode(), passphrase)
        elif is_path:
            self._signer, self.can_log_on = _private_key_signer(_read_key_file(api_secret), passphrase)
        else:
            self._signer = _hmac_signer(api_secret.encode())
        self._now_ms = now_ms
        self._recv_window_ms = recv_window_ms

    def __repr__(self) -> str:
        return "BinanceAuth(key and secret hidden)"

    def __reduce__(self) -> str:
        raise TypeError("keys are neither pickled nor copied")

    def signature(self, payload: str) -> str:
        """Signature of a query string (percent-encoded, without `signature`): hex, or base64 of a private key's."""
        return self._signer(payload.encode())

    def sign(self, request: RestRequest) -> RestRequest:
        """Adds recvWindow, the venue's time now, the signature and the key header."""
        stamp = f"recvWindow={self._recv_window_ms}&timestamp={self._now_ms()}"
        query = f"{request.query}&{stamp}" if request.query else stamp
        signature = quote(self.signature(query), safe="")
        return replace(self.identify(request), query=f"{query}&signature={signature}")

    def sign_params(self, params: Mapping[str, str]) -> dict[str, str]:
        """The parameters of a WebSocket-API request, with key, time and signature: sorted by name, not encoded."""
        signed = self.stamp_params(params)
        signed["apiKey"] = self._key
        signed["signature"] = self.signature("&".join(f"{name}={signed[name]}" for name in sorted(signed)))
        return signed

    def stamp_params(self, params: Mapping[str, str]) -> dict[str, str]:
        """The parameters of a request in a session that is logged on: with the time, without key and signature."""
        return {**params, "recvWindow": str(self._recv_window_ms), "timestamp": str(self._now_ms())}

    def identify(self, request: RestRequest) -> RestRequest:
        """Adds the key header only (listen keys)."""
        return replace(request, headers={**request.headers, "X-MBX-APIKEY": self._key})


def _hmac_signer(secret: bytes) -> Signer:
    """HMAC (RFC 2104) from its two keyed SHA-256 states: half of what a copied `hmac.HMAC` costs."""
    key = (sha256(secret).digest() if len(secret) > _BLOCK_BYTES else secret).ljust(_BLOCK_BYTES, b"\0")
    inner_state, outer_state = sha256(bytes(byte ^ 0x36 for byte in key)), sha256(bytes(byte ^ 0x5C for byte in key))

    def sign(payload: bytes) -> str:
        inner, outer = inner_state.copy(), outer_state.copy()
        inner.update(payload)
        outer.update(inner.digest())
        return outer.hexdigest()

    return sign


def _private_key_signer(pem: bytes, passphrase: str) -> tuple[Signer, bool]:
    """The signer of a PEM private key, and whether it is an Ed25519 key."""
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        raise ConfigurationError("Ed25519 and RSA keys need the extra: pip install 'qtxconn[ed25519]'") from None
    try:
        key: object = load_pem_private_key(pem, passphrase.encode() or None)
    except TypeError:
        key = "it is protected by a passphrase" if not passphrase else "it has no passphrase, but one was given"
    except (ValueError, UnsupportedAlgorithm):
        key = "the passphrase is wrong" if passphrase else "it is not a PEM private key"
    # Raised out here: what cryptography raised must not come along in the traceback.
    if isinstance(key, str):
        raise ConfigurationError(f"the private key cannot be read: {key}")
    if isinstance(key, Ed25519PrivateKey):
        return (lambda payload: b64encode(key.sign(payload)).decode()), True
    if isinstance(key, RSAPrivateKey):
        padding, digest = PKCS1v15(), SHA256()
        return (lambda payload: b64encode(key.sign(payload, padding, digest)).decode()), False
    raise ConfigurationError("the private key is neither an Ed25519 nor an RSA key; Binance takes no others")


def _read_key_file(path: str) -> bytes:
    try:
        with Path(path).expanduser().open("rb") as file:
            return file.read(KEY_FILE_BYTES_MAX)
    except OSError as error:
        reason = error.strerror
    raise ConfigurationError(f"the private key file {path} cannot be read: {reason}")
