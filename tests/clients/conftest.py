"""A venue in its own process for published clients to trade on: two symbols, a trader and a counterparty."""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import pytest

from qtxconn.sim.launch import VenueProcess

KEY, SECRET = "client-key", "client-secret"
ED25519_KEY = "client-ed25519"


class ServedVenue:
    """Endpoints, and the control endpoint for what only the venue can bring about."""

    def __init__(self, endpoints: dict[str, Any], private_key_pem: str) -> None:
        self.endpoints = endpoints
        self.private_key_pem = private_key_pem

    def control(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        request = urllib.request.Request(
            self.endpoints["control"] + path, data=json.dumps(body).encode() if body else None, method=method
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)


def make_key_pair() -> tuple[str, str]:
    """(PEM of a private Ed25519 key, its public key in base64). Empty where cryptography is not installed."""
    try:
        from cryptography.hazmat.primitives import serialization as form
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError:
        return "", ""
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    raw = private.public_key().public_bytes(form.Encoding.Raw, form.PublicFormat.Raw)
    return pem.decode(), base64.b64encode(raw).decode()


@pytest.fixture
async def venue() -> AsyncIterator[ServedVenue]:
    pem, public = make_key_pair()
    options = ["--speak", "binance", "--seed", "3", "--symbol", "BTCUSDT", "--symbol", "ETHUSDT"]
    options += ["--account", f"{KEY}:{SECRET}"]
    if public:
        options += ["--account", f"{ED25519_KEY}:ed25519={public}"]
    async with VenueProcess(options) as process:
        yield ServedVenue(process.endpoints, pem)
