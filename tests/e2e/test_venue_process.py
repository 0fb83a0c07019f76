"""`qtxconn venue` as a process: starts, trades, stops, and leaves nothing behind, also on bad input."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

pytestmark = pytest.mark.e2e

WAIT_S = 30
SECRET = "s3cret-of-the-test"


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "qtxconn", "venue", *args]


@contextmanager
def running(root: Path, *args: str, **options: Any) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The process and its endpoints; killed at the end if it still runs."""
    process = subprocess.Popen(
        command("--speak", "binance", *args),
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        yield process, json.loads(line)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def finish(process: subprocess.Popen[str], endpoints: dict[str, Any]) -> tuple[str, str]:
    """Waits for the end, which must be clean: status 0, no segment, no listening port."""
    output, errors = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert not Path(f"/dev/shm{endpoints['qtx_shm']}").exists()
    host, _, port = endpoints["rest"].removeprefix("http://").partition(":")
    with socket.socket() as probe:
        assert probe.connect_ex((host, int(port))) != 0
    return output, errors


def call(endpoints: dict[str, Any], method: str, path: str, key: str, secret: str, **params: Any) -> Any:
    query = urlencode(params | {"timestamp": time.time_ns() // 1_000_000})
    signature = hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()
    request = urllib.request.Request(
        f"{endpoints['rest']}{path}?{query}&signature={signature}",
        method=method,
        headers={"X-MBX-APIKEY": key},
    )
    with urllib.request.urlopen(request, timeout=WAIT_S) as response:
        return json.loads(response.read())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_trades_and_stops(root: Path, number: int) -> None:
    with running(root, "--account", f"me:{SECRET}::5000", "--seed", "7") as (process, endpoints):
        assert endpoints["symbols"] == ["BTCUSDT"]
        assert "api_key" not in endpoints
        assert Path(f"/dev/shm{endpoints['qtx_shm']}").stat().st_size == 1_043_216
        order = call(
            endpoints,
            "POST",
            "/fapi/v1/order",
            "me",
            SECRET,
            symbol="BTCUSDT",
            side="BUY",
            type="MARKET",
            quantity="0.010",
            newOrderRespType="RESULT",
        )
        assert (order["status"], order["executedQty"]) == ("FILLED", "0.010")
        [position] = call(endpoints, "GET", "/fapi/v3/positionRisk", "me", SECRET)
        assert position["positionAmt"] == "0.01"
        process.send_signal(number)
        output, errors = finish(process, endpoints)
        assert output == ""  # one line, no more
        assert SECRET not in errors


def test_the_demo_account_is_printed_and_qtx_answers(root: Path) -> None:
    with running(root) as (process, endpoints):
        [balance] = call(endpoints, "GET", "/fapi/v3/balance", endpoints["api_key"], endpoints["api_secret"])
        assert balance["balance"] == "100000.00000000"
        host, _, port = endpoints["qtx_udp"].partition(":")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.settimeout(WAIT_S)
            udp.sendto(endpoints["qtx_symbols"][0].encode(), (host, int(port)))
            answers = {udp.recv(65_536)[:2] for _ in range(5)}
            assert b"1:" in answers
        process.terminate()
        finish(process, endpoints)


def test_stops_with_its_parent(root: Path) -> None:
    with running(root, "--exit-with-parent", stdin=subprocess.PIPE) as (process, endpoints):
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
        finish(process, endpoints)


@pytest.mark.recording
def test_replays_a_recording(root: Path, shared_dir: Path) -> None:
    recording = shared_dir / "data" / "binance-usdm" / "btcusdt_20240808.gz"
    if not recording.is_file():
        pytest.skip(f"{recording} is missing")
    with running(root, "--recording", str(recording), "--speed", "10") as (process, endpoints):
        deadline = time.monotonic() + WAIT_S
        while True:
            with urllib.request.urlopen(
                f"{endpoints['rest']}/fapi/v1/depth?symbol=BTCUSDT&limit=100", timeout=WAIT_S
            ) as response:
                depth = json.loads(response.read())
            if len(depth["bids"]) == len(depth["asks"]) == 100:
                break
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert float(depth["bids"][0][0]) < float(depth["asks"][0][0])
        process.terminate()
        finish(process, endpoints)


def test_symbols_faults_and_control(root: Path, tmp_path: Path) -> None:
    script = tmp_path / "faults.json"
    script.write_text('{"seed": 1, "rules": [{"fault": "error before", "where": "GET */openOrders", "status": 500}]}')
    options = ["--symbol", "ETHUSDT", "--symbol", "BTCUSDT", "--faults", str(script)]
    with running(root, *options) as (process, endpoints):
        assert endpoints["symbols"] == ["ETHUSDT", "BTCUSDT"]
        keys = endpoints["api_key"], endpoints["api_secret"]
        with pytest.raises(urllib.error.HTTPError, match="500"):
            call(endpoints, "GET", "/fapi/v1/openOrders", *keys)
        request = urllib.request.Request(endpoints["control"] + "/faults", method="DELETE")
        with urllib.request.urlopen(request, timeout=WAIT_S) as response:
            assert json.load(response)["rules"] == []
        assert call(endpoints, "GET", "/fapi/v1/openOrders", *keys) == []
        for symbol, quantity in (("ETHUSDT", "0.100"), ("BTCUSDT", "0.010")):
            params = dict(symbol=symbol, side="SELL", type="MARKET", quantity=quantity, newOrderRespType="RESULT")
            assert call(endpoints, "POST", "/fapi/v1/order", *keys, **params)["status"] == "FILLED"
        process.terminate()
        finish(process, endpoints)


def refused(root: Path, *args: str) -> str:
    """Runs with bad input; the one line on standard error."""
    process = subprocess.Popen(
        command(*args),
        cwd=root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        output, errors = process.communicate(timeout=WAIT_S)
    finally:
        process.kill()
    assert process.returncode == 2, errors
    assert output == ""
    [line] = errors.splitlines()
    assert line.startswith("qtxconn: error: ")
    assert not Path(f"/dev/shm/place_order_qtxconn_{process.pid}").exists()
    return line


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (["--speak", "klingon"], "choose from: binance"),
        ([], "--speak"),
        (["--speak", "binance", "--port", "65536"], "range"),
        (["--speak", "binance", "--qtx-udp", "-1"], "range"),
        (["--speak", "binance", "--host", "0.0.0.0"], "--allow-non-loopback"),
        (["--speak", "binance", "--host", "example.com"], "127.0.0.1"),
        (["--speak", "binance", "--recording", "/nowhere/at/all.gz"], "does not exist"),
        (["--speak", "binance", "--speed", "0"], "range"),
        (["--speak", "binance", "--symbol", "NOUSDT"], "BTCUSDT"),
        (["--speak", "binance", "--faults", "/nowhere/at/all.json"], "fault script"),
        (["--speak", "binance", "--faults", "/dev/null"], "not JSON"),
        (["--speak", "binance", "--account", f"me:ed25519={SECRET}"], "d25519"),
        (["--speak", "binance", "--qtx-shm", "a/b"], "segment name"),
        (["--speak", "binance", "--account", f"{SECRET}"], "KEY:SECRET"),
        (["--speak", "binance", "--account", f"me:{SECRET}::-5"], "BALANCE"),
        (["--speak", "binance", "--account", f"me:{SECRET}", "--account", f"me:{SECRET}2"], "same key"),
        (["--speak", "binance", f"me:{SECRET}"], "unexpected argument"),
        (["--speak", "binance", "--exit-with-parent"], "pipe"),
    ],
)
def test_bad_input(root: Path, args: list[str], hint: str) -> None:
    line = refused(root, *args)
    assert hint in line
    assert SECRET not in line


def test_a_port_that_is_taken(root: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        assert f"port {port} on 127.0.0.1 is taken" in refused(root, "--speak", "binance", "--port", port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        port = str(holder.getsockname()[1])
        assert "--qtx-udp" in refused(root, "--speak", "binance", "--qtx-udp", port)


def test_a_segment_that_is_taken(root: Path) -> None:
    name = f"qtxconn_taken_{os.getpid()}"
    path = Path("/dev/shm") / name
    path.write_bytes(b"somebody else's")
    try:
        assert "exists already" in refused(root, "--speak", "binance", "--qtx-shm", name)
        assert path.read_bytes() == b"somebody else's"
    finally:
        path.unlink()


def test_a_recording_that_is_cut_off(root: Path, tmp_path: Path) -> None:
    whole = gzip.compress(b'1723161255030314667 {"stream":"btcusdt@trade","data":{}}\n' * 10_000)
    (tmp_path / "cut.gz").write_bytes(whole[: len(whole) // 2])
    assert "cut off" in refused(root, "--speak", "binance", "--recording", str(tmp_path / "cut.gz"))


def test_a_recording_of_an_unknown_symbol(root: Path, tmp_path: Path) -> None:
    line = b'1723161255030314667 {"stream":"dogeusdt@trade","data":{}}\n'
    (tmp_path / "doge.gz").write_bytes(gzip.compress(line))
    assert "DOGEUSDT" in refused(root, "--speak", "binance", "--recording", str(tmp_path / "doge.gz"))
