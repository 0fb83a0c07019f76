"""Ed25519 keys over real sockets: REST signatures, and the order stream's session from logon to revocation."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

pytest.importorskip("cryptography", reason="cryptography is not installed: pip install 'qtxconn[ed25519]'")

from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from qtxconn.core.types import MarketEvent, OrderState, OrderType
from qtxconn.errors import AuthenticationError
from qtxconn.exchanges.binance.perpetual import BinancePerpetual
from qtxconn.sim.launch import VenueProcess

pytestmark = pytest.mark.e2e

PAIR = "BTC-USDT"
KEY, PASSPHRASE = "session-key", "a passphrase"
LOT = Decimal("0.002")


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(30.0):  # only reached when something is broken
        while not condition():  # noqa: ASYNC110 - most of what is awaited has no event
            await asyncio.sleep(0.002)


@pytest.fixture(scope="module")
def private_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture
def key_file(private_key: Ed25519PrivateKey, tmp_path: Path) -> str:
    """Protected by PASSPHRASE."""
    protection = form.BestAvailableEncryption(PASSPHRASE.encode())
    path = tmp_path / "key.pem"
    path.write_bytes(private_key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, protection))
    return str(path)


@pytest.fixture
async def venue(private_key: Ed25519PrivateKey) -> AsyncIterator[VenueProcess]:
    raw = private_key.public_key().public_bytes(form.Encoding.Raw, form.PublicFormat.Raw)
    account = f"{KEY}:ed25519={base64.b64encode(raw).decode()}"
    async with VenueProcess(["--speak", "binance", "--account", account, "--seed", "7"]) as venue:
        yield venue


@pytest.fixture
def exchange(venue: VenueProcess, key_file: str) -> BinancePerpetual:
    return make(venue, key_file, private_key_passphrase=PASSPHRASE)


def make(venue: VenueProcess, secret: str, **options: Any) -> BinancePerpetual:
    names = ("rest", "ws_public", "ws_market", "ws_private", "ws_trade")
    urls = {f"{name}_url": venue.endpoints[name] for name in names}
    return BinancePerpetual(KEY, secret, [PAIR], **{"order_path": "websocket"} | urls | options)


async def control(venue: VenueProcess, path: str, **body: Any) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(venue.endpoints["control"] + path, json=body) as response,
    ):
        assert response.status == 200, await response.text()


def rest_calls(exchange: BinancePerpetual, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Of the connector, from here on."""
    calls: list[str] = []
    request = exchange._rest.request

    async def noted(method: str, path: str, **options: Any) -> Any:
        calls.append(f"{method} {path}")
        return await request(method, path, **options)

    monkeypatch.setattr(exchange._rest, "request", noted)
    return calls


async def round_trip(exchange: BinancePerpetual) -> None:
    """An order rests and is cancelled."""
    price = exchange.quantize_order_price(PAIR, exchange.get_order_book(PAIR).best_bid * Decimal("0.97"))
    order_id = exchange.buy(PAIR, LOT, OrderType.LIMIT_MAKER, price)
    order = exchange.in_flight_orders[order_id]
    await until(lambda: order.current_state is OrderState.OPEN)
    exchange.cancel(PAIR, order_id)
    await until(lambda: order.is_done)
    assert order.current_state is OrderState.CANCELED


async def test_orders_over_rest_are_signed_with_the_key(venue: VenueProcess, key_file: str) -> None:
    async with make(venue, key_file, private_key_passphrase=PASSPHRASE, order_path="rest") as exchange:
        await round_trip(exchange)


async def test_a_session_carries_unsigned_orders(exchange: BinancePerpetual, monkeypatch, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    async with exchange:
        stream = exchange._order_stream
        assert stream.logons == 1
        over_rest = rest_calls(exchange, monkeypatch)
        monkeypatch.setattr(type(exchange._auth), "sign_params", None)  # nothing but the logon was signed
        await round_trip(exchange)
        assert not {"POST /fapi/v1/order", "DELETE /fapi/v1/order"} & set(over_rest)
    assert PASSPHRASE not in caplog.text
    assert KEY not in caplog.text


async def test_it_logs_on_again_after_a_reconnect_and_orders_go_over_rest_until_then(
    venue: VenueProcess, exchange: BinancePerpetual, monkeypatch
) -> None:
    async with exchange:
        stream = exchange._order_stream
        logging_on = asyncio.Event()
        log_on = stream._log_on

        async def slowly() -> None:
            await logging_on.wait()
            await log_on()

        monkeypatch.setattr(stream._client, "_on_connected", slowly)
        await stream.reconnect()
        await until(lambda: not stream.is_live)
        over_rest = rest_calls(exchange, monkeypatch)
        await round_trip(exchange)
        assert over_rest.count("POST /fapi/v1/order") == over_rest.count("DELETE /fapi/v1/order") == 1
        logging_on.set()
        await until(lambda: stream.is_live)
        assert stream.logons == 2
        over_rest.clear()
        await round_trip(exchange)
        assert "POST /fapi/v1/order" not in over_rest


async def test_a_session_that_the_venue_ended_is_opened_anew(
    venue: VenueProcess, exchange: BinancePerpetual, monkeypatch
) -> None:
    async with exchange:
        stream = exchange._order_stream
        await control(venue, "/sessions/end")
        over_rest = rest_calls(exchange, monkeypatch)
        await asyncio.gather(*(round_trip(exchange) for _ in range(5)))
        assert stream.logons == 2  # one for all that found it ended
        assert "POST /fapi/v1/order" not in over_rest


async def test_a_revoked_key_is_told_for_each_order_and_nothing_stays_open(
    venue: VenueProcess, exchange: BinancePerpetual
) -> None:
    failures: list[Any] = []
    exchange.add_listener(MarketEvent.OrderFailure, failures.append)
    async with exchange:
        await control(venue, "/accounts/revoke", api_key=KEY)
        price = exchange.quantize_order_price(PAIR, exchange.get_order_book(PAIR).best_bid * Decimal("0.97"))
        order_id = exchange.buy(PAIR, LOT, OrderType.LIMIT_MAKER, price)
        order = exchange.in_flight_orders[order_id]
        await until(lambda: order.is_done)
        assert order.current_state is OrderState.FAILED
        assert "-2015" in failures[0].error_message


@pytest.mark.parametrize("order_path", ["rest", "websocket"])
async def test_another_private_key_is_refused_at_once(venue: VenueProcess, order_path: str) -> None:
    text = Ed25519PrivateKey.generate().private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    with pytest.raises(AuthenticationError, match="check that the API secret belongs to the API key"):
        await make(venue, text.decode(), order_path=order_path).connect()


async def test_a_refused_logon_is_the_error_of_connect(venue: VenueProcess, exchange: BinancePerpetual) -> None:
    await control(venue, "/faults", fault="error before", where="ws session.logon", status=401, code=-4056)
    with pytest.raises(AuthenticationError, match=r"session\.logon takes Ed25519 keys only"):
        await exchange.connect()
    await exchange.disconnect()
