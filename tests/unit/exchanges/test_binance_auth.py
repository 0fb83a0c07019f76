"""Binance signing against known vectors, and that a secret shows nowhere."""

from __future__ import annotations

import copy
import logging
import pickle
from pathlib import Path

import orjson
import pytest

from qtxconn.errors import ConfigurationError
from qtxconn.exchanges.binance.auth import BinanceAuth
from qtxconn.net.rest import RestRequest

SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"


def auth(now_ms: int = 1578963600000) -> BinanceAuth:
    return BinanceAuth(KEY, SECRET, lambda: now_ms, 5000)


@pytest.mark.parametrize(
    ("payload", "signature"),
    [
        ("timestamp=1578963600000", "d84e6641b1e328e7b418fff030caed655c266299c9355e36ce801ed14631eed4"),
        (
            f"apiKey={KEY}&newOrderRespType=ACK&price=52000.00&quantity=0.01000000&recvWindow=100&side=SELL"
            "&symbol=BTCUSDT&timeInForce=GTC&timestamp=1645423376532&type=LIMIT",
            "cc15477742bd704c29492d96c7ead9414dfd8e0ec4a00f947bb5bb454ddbd08a",
        ),
    ],
)
def test_published_signatures(payload: str, signature: str) -> None:
    assert auth().signature(payload) == signature


@pytest.mark.parametrize("bad", [f"{KEY}\n", f" {KEY}", "kéy", "k\0y", 17, None], ids=ascii)
@pytest.mark.parametrize("name", ["api_key", "api_secret"])
def test_a_key_that_no_header_can_carry_is_refused_at_once(name: str, bad: object) -> None:
    with pytest.raises(ConfigurationError, match=f"binance_perpetual_{name}: ") as told:
        BinanceAuth(**{"api_key": KEY, "api_secret": SECRET, "now_ms": lambda: 0, "recv_window_ms": 1} | {name: bad})
    assert KEY not in str(told.value)


def test_a_websocket_request_is_signed_over_its_sorted_parameters() -> None:
    signer = BinanceAuth(KEY, SECRET, lambda: 1645423376532, 100)
    order = {"symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01000000"}
    signed = signer.sign_params(order | {"price": "52000.00", "newOrderRespType": "ACK"})
    assert signed["signature"] == "cc15477742bd704c29492d96c7ead9414dfd8e0ec4a00f947bb5bb454ddbd08a"
    assert signed["apiKey"] == KEY


def test_all_shared_vectors(shared_dir: Path) -> None:
    for vector in orjson.loads((shared_dir / "fixtures/binance/signing_vectors.json").read_bytes()):
        assert BinanceAuth(KEY, vector["secret"], lambda: 0, 0).signature(vector["payload"]) == vector["signature"]


def test_a_request_is_signed_over_what_goes_on_the_wire() -> None:
    signer = auth()
    plain = RestRequest("GET", "/fapi/v1/order", "symbol=BTCUSDT&origClientOrderId=a%2Fb")
    signed = signer.sign(plain)
    query, signature = signed.query.split("&signature=")
    assert query == plain.query + "&recvWindow=5000&timestamp=1578963600000"
    assert signature == signer.signature(query)
    assert signed.headers == {"X-MBX-APIKEY": KEY}
    assert signer.sign(RestRequest("GET", "/x")).query.startswith("recvWindow=5000&timestamp=")
    assert signer.identify(plain).query == plain.query


def test_key_and_secret_show_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    signer = auth()
    signed = signer.sign(RestRequest("POST", "/fapi/v1/order", "symbol=BTCUSDT"))
    logging.getLogger("qtxconn").info("%r %s %r %s", signer, signer, signed, signed)
    shown = f"{signer!r} {signer} {signed!r} {signed} {caplog.text}"
    for secret in (KEY, SECRET, signed.query.partition("signature=")[2]):
        assert secret not in shown
    assert not hasattr(signer, "__dict__")
    with pytest.raises(TypeError):
        pickle.dumps(signer)
    with pytest.raises(TypeError):
        copy.deepcopy(signer)
