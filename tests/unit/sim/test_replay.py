"""Replaying a recording: how depth and ticker merge, what own orders meet, and what a bad file says."""

from __future__ import annotations

import gzip
from decimal import Decimal as D

import orjson
import pytest

from qtxconn.errors import ConfigurationError
from qtxconn.sim.model import NS_PER_S, Instrument, OrderType, Side, SimClock, run_market
from qtxconn.sim.recording import check_recording, read_recording, text_scaler
from qtxconn.sim.replay import ReplayMarket
from qtxconn.sim.venue import Venue

S = "BTCUSDT"
BUY, SELL = Side.BUY, Side.SELL
FIRST_NS = 1_723_161_255_000_000_000


def depth(update_id, bids=(), asks=(), previous=0, time=0):
    levels = {"b": [list(level) for level in bids], "a": [list(level) for level in asks]}
    return "depth@0ms", {"U": previous + 1, "u": update_id, "pu": previous, "T": time, "s": S, **levels}


def ticker(update_id, bid, bid_qty, ask, ask_qty, time=0):
    return "bookTicker", {"u": update_id, "s": S, "b": bid, "B": bid_qty, "a": ask, "A": ask_qty, "T": time}


def trade(price, quantity, buyer_is_maker, time=0):
    return "trade", {"T": time, "s": S, "t": 1, "p": price, "q": quantity, "X": "MARKET", "m": buyer_is_maker}


@pytest.fixture
def record(tmp_path):
    """Write messages, a tenth of a second apart; a dict is a REST snapshot."""

    def write(*messages, symbol="btcusdt"):
        path = tmp_path / "recording.gz"
        with gzip.open(path, "wb") as file:
            for k, message in enumerate(messages):
                if not isinstance(message, dict):
                    message = {"stream": f"{symbol}@{message[0]}", "data": message[1]}
                file.write(b"%d %s\n" % (FIRST_NS + k * NS_PER_S // 10, orjson.dumps(message)))
        return path

    return write


@pytest.fixture
def play(record, venue, clock):
    """Replay messages to the end and return the levels (bids, asks)."""

    def run(*messages):
        market = ReplayMarket(venue, record(*messages))
        run_market(market, clock, clock.now_ns() + market.duration_ns)
        assert market.finished
        engine = venue.engine(S)
        return engine.levels(BUY, 9), engine.levels(SELL, 9)

    return run


def test_depth_alone_builds_a_book(play):
    bids = [("100.00", "1.000"), ("99.90", "2.000")]
    messages = [depth(5, bids, [("100.10", "3.000")]), depth(9, [("99.90", "0.000")], previous=5)]
    assert play(*messages) == ([(1000, 1000)], [(1001, 3000)])


def test_a_ticker_ahead_of_depth_wins_at_its_touch(play):
    result = play(
        depth(5, [("100.00", "1"), ("99.90", "2")], [("100.10", "3")]),
        ticker(20, "99.90", "1.5", "100.00", "4"),
        # Older than the ticker: what it says at or inside the ticker's touch is stale, the rest is not.
        depth(10, [("100.00", "7"), ("99.90", "9"), ("99.80", "6")], [("100.00", "8"), ("100.10", "5")], 5),
    )
    assert result == ([(999, 1500), (998, 6000)], [(1000, 4000), (1001, 5000)])


def test_depth_ahead_of_a_ticker_wins(play):
    result = play(depth(30, [("100.00", "1")], [("100.10", "3")]), ticker(20, "99.90", "1.5", "100.00", "4"))
    assert result == ([(1000, 1000)], [(1001, 3000)])


def test_a_snapshot_replaces_its_range_except_newer_words(play):
    snapshot = {
        "lastUpdateId": 20,
        "T": 0,
        "bids": [["100.00", "5"], ["99.80", "6"]],
        "asks": [["100.10", "7"], ["100.30", "8"]],
    }
    result = play(
        depth(10, [("99.90", "1"), ("99.00", "4")], [("100.20", "1")]),
        depth(25, [("100.00", "2")], previous=10),
        snapshot,
        depth(15, [("99.80", "1")], previous=10),
    )
    assert result == ([(1000, 2000), (998, 6000), (990, 4000)], [(1001, 7000), (1003, 8000)])


def test_gaps_are_counted(record, venue, clock):
    messages = [depth(5, [("100", "1")]), depth(9, [("99", "1")], previous=5), depth(20, previous=12)]
    market = ReplayMarket(venue, record(*messages))
    run_market(market, clock, clock.now_ns() + NS_PER_S)
    assert market.gaps == 1


def test_own_order_is_filled_by_prints_after_the_queue(record, venue, clock):
    market = ReplayMarket(
        venue,
        record(
            depth(5, [("100.00", "1.000")], [("100.10", "3")], time=1),
            trade("100.00", "0.600", True, time=2),
            ticker(8, "100.00", "0.400", "100.10", "3", time=2),
            trade("100.00", "0.500", True, time=3),
        ),
    )
    assert market.next_event_ns() == clock.now_ns()
    market.step(clock.now_ns())
    account = venue.open_account("k", "s")
    order = venue.place_order(account, S, BUY, OrderType.LIMIT, D("0.250"), D("100"))
    run_market(market, clock, clock.now_ns() + NS_PER_S // 5)
    assert (order.filled, order.ahead) == (0, 400)
    run_market(market, clock, clock.now_ns() + NS_PER_S)
    assert order.filled == 100
    assert account.executions[0].is_maker


def test_speed_and_the_end(record, venue, clock):
    start = clock.now_ns()
    market = ReplayMarket(venue, record(*[depth(k, [("100", "1")]) for k in range(1, 12)]), speed=10)
    assert (market.first_event_ns, market.duration_ns, market.messages) == (FIRST_NS, NS_PER_S, 11)
    assert market.step(start) == 1
    assert market.next_event_ns() == start + NS_PER_S // 100
    assert market.step(start + NS_PER_S // 20) == 5
    assert not market.finished
    assert market.step(start + NS_PER_S) == 5
    assert market.finished
    assert market.next_event_ns() is None
    assert market.step(start + 2 * NS_PER_S) == 0


def test_other_symbols_are_passed_over(record, venue, clock):
    market = ReplayMarket(venue, record(depth(5, [("100", "1")]), symbol="ethusdt"))
    run_market(market, clock, clock.now_ns() + NS_PER_S)
    assert venue.engine(S).bids.best == 0


def test_missing_and_empty_and_not_gzip(venue, tmp_path):
    with pytest.raises(ConfigurationError, match=r"none\.gz does not exist"):
        ReplayMarket(venue, tmp_path / "none.gz")
    empty = tmp_path / "empty.gz"
    empty.write_bytes(gzip.compress(b""))
    with pytest.raises(ConfigurationError, match="is empty"):
        ReplayMarket(venue, empty)
    empty.write_bytes(b"")
    with pytest.raises(ConfigurationError, match="is empty"):
        ReplayMarket(venue, empty)
    plain = tmp_path / "plain.gz"
    plain.write_bytes(b"123 {}\n")
    with pytest.raises(ConfigurationError, match="not an intact gzip file"):
        ReplayMarket(venue, plain)


def test_cut_off(venue, record):
    path = record(*[depth(k, [(f"{k}", f"{k * 7919 % 1000}")]) for k in range(1, 400)])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigurationError, match=r"cut off after line \d+"):
        ReplayMarket(venue, path)
    path.write_bytes(whole[:-2])
    with pytest.raises(ConfigurationError, match="cut off after line 399"):
        ReplayMarket(venue, path)
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    path.write_bytes(bytes(damaged))
    with pytest.raises(ConfigurationError):
        ReplayMarket(venue, path)


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"x {}",
        b"1",
        b'1 {"stream"',
        b"1 []",
        b'1 {"stream":"btcusdt@trade"}',
        b'1 {"stream":"btcusdt@trade","data":{"T":1,"p":"1.00","q":"x","m":true}}',
        b'1 {"stream":"btcusdt@bookTicker","data":{"u":1,"T":1,"b":"2","B":"1","a":"1","A":"1"}}',
        b'1 {"stream":"btcusdt@depth@0ms","data":{"u":1,"U":1,"pu":0,"T":1,"b":[["1.05","1"]],"a":[]}}',
    ],
)
def test_a_malformed_line_is_named(venue, clock, tmp_path, line):
    good = b'1 {"stream":"btcusdt@other","data":{}}\n'
    path = tmp_path / "bad.gz"
    path.write_bytes(gzip.compress(good + line + b"\n"))
    with pytest.raises(ConfigurationError, match="line 2"):
        run_market(ReplayMarket(venue, path), clock, clock.now_ns() + 1)


@pytest.mark.parametrize("speed", [0, -1, float("nan")])
def test_speed_out_of_range(venue, record, speed):
    with pytest.raises(ConfigurationError, match="speed"):
        ReplayMarket(venue, record(depth(1)), speed)


def test_text_scaler_is_exact():
    ticks = text_scaler(D("0.10"))
    assert [ticks(text) for text in ("61800.20", "1", "0.1", "100000000000.3000")] == [
        618002,
        10,
        1,
        1000000000003,
    ]
    for text in ("0.05", "-1", "", "a", "1e5"):
        with pytest.raises(ValueError):
            ticks(text)


@pytest.mark.recording
def test_the_whole_recording(shared_dir, clock):
    """The ambient book never crosses, and at the end equals the book built from snapshot and depth alone."""
    path = shared_dir / "data" / "binance-usdm" / "btcusdt_20240808.gz"
    venue = Venue([Instrument(S, "BTC", "USDT", D("0.10"), D("0.001"))], clock)

    class Watch:
        updates = trades = 0
        image = {BUY: {}, SELL: {}}
        last_id = None

        def on_ticker(self, symbol, ticker):
            assert ticker.bid < ticker.ask or not ticker.ask

        def on_trade(self, symbol, trade):
            self.trades += 1

        def on_depth(self, symbol, update):
            assert self.last_id in (None, update.prev_id)
            self.last_id = update.last_id
            self.updates += 1
            for side, levels in ((BUY, update.bids), (SELL, update.asks)):
                self.image[side].update(levels)

    watch = Watch()
    venue.add_market_listener(watch)
    market = ReplayMarket(venue, path, speed=10)
    assert (market.messages, market.duration_ns) == (93_954, 344_803_177_917)
    run_market(market, clock, clock.now_ns() + 35 * NS_PER_S)
    assert market.finished
    assert (market.played, market.gaps, watch.trades, watch.updates) == (93_954, 0, 21_313, 6_552)

    ticks, lots = text_scaler(D("0.10")), text_scaler(D("0.001"))
    plain = {BUY: {}, SELL: {}}
    for message in read_recording(path):
        if message.kind in ("depth", "snapshot"):
            for side, keys in ((BUY, ("b", "bids")), (SELL, ("a", "asks"))):
                for price, quantity in message.data.get(keys[0], message.data.get(keys[1], ())):
                    plain[side][ticks(price)] = lots(quantity)
    for side in (BUY, SELL):
        expected = {price: quantity for price, quantity in plain[side].items() if quantity}
        assert dict(venue.engine(S).levels(side, 10_000)) == expected
        assert {price: quantity for price, quantity in watch.image[side].items() if quantity} == expected


@pytest.mark.recording
def test_the_recording_cut_off(shared_dir, tmp_path):
    whole = (shared_dir / "data" / "binance-usdm" / "btcusdt_20240808.gz").read_bytes()
    path = tmp_path / "cut.gz"
    path.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(ConfigurationError, match="cut off after line"):
        check_recording(path)


@pytest.mark.recording
def test_own_orders_live_in_the_recorded_market(shared_dir, recorder_type):
    """Quotes at the touch get filled, nothing crosses, and the fills add up."""
    clock = SimClock()
    venue = Venue([Instrument(S, "BTC", "USDT", D("0.10"), D("0.001"))], clock)
    market = ReplayMarket(venue, shared_dir / "data" / "binance-usdm" / "btcusdt_20240808.gz")
    run_market(market, clock, clock.now_ns() + NS_PER_S)
    account = venue.open_account("k", "s")
    recorder = recorder_type(venue)
    engine = venue.engine(S)
    for _ in range(300):
        venue.cancel_all(account, S)
        for side, best in ((BUY, engine.bids.best), (SELL, engine.asks.best)):
            price = engine.instrument.ticks_to_price(best)
            venue.place_order(account, S, side, OrderType.LIMIT, D("0.010"), price)
        run_market(market, clock, clock.now_ns() + NS_PER_S // 5)
    makers = [e for e in recorder.executions if e.is_maker]
    assert len(makers) > 20
    assert (
        sum(int(e.order.side) * e.quantity for e in recorder.executions) == account.position(venue.instrument(S)).amount
    )
    assert all(t.bid < t.ask for t in recorder.tickers)
