"""Any bytes into the packet parser, compared with a second reading of the protocol in Python."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qtx_server import depth, single

from qtxconn.errors import MessageError
from qtxconn.qtx.udp_feed import parse_packet

ANY_DOUBLE = st.floats(width=64)
GOOD_DOUBLE = st.floats(min_value=1e-9, max_value=1e17)
LEVELS = st.lists(st.tuples(GOOD_DOUBLE, st.just(0.0) | GOOD_DOUBLE), max_size=20)
INT64 = st.integers(-(2**63), 2**63 - 1)


def is_good(price: float, size: float) -> bool:
    return all(math.isfinite(number) and 0 <= number <= 1e18 for number in (price, size)) and (price > 0 or size == 0)


def expected(data: bytes) -> bool:
    """Whether the protocol allows these bytes as one message."""
    if len(data) < 56:
        return False
    kind = struct.unpack_from("<i", data)[0]
    if kind in (1, -1, 3, -3):
        price, size = struct.unpack_from("<dd", data, 40)
        return len(data) == 56 and is_good(price, size) and (abs(kind) == 1 or size > 0)
    if kind != 2:
        return False
    asks, bids = struct.unpack_from("<qq", data, 40)
    if asks < 0 or bids < 0 or len(data) != 56 + 16 * (asks + bids):
        return False
    return all(is_good(*level) for level in struct.iter_unpack("<dd", data[56:]))


def check(data: bytes) -> None:
    try:
        packet = parse_packet(data)
    except MessageError:
        assert not expected(data)
        return
    assert expected(data)
    assert (packet.type, packet.index, packet.tx_ms, packet.event_ms, packet.local_ns, packet.sn_id) == (
        struct.unpack_from("<iiqqqq", data)
    )
    levels = list(struct.iter_unpack("<dd", data[56:] if packet.type == 2 else data[40:]))
    assert packet.asks + packet.bids == levels


@given(st.binary(max_size=200))
def test_any_bytes(data):
    check(data)


@given(
    kind=st.sampled_from([1, -1, 2, 3, -3]) | st.integers(-(2**31), 2**31 - 1),
    numbers=st.tuples(INT64, INT64, INT64, INT64),
    body=st.binary(max_size=120),
)
def test_any_body_after_a_header(kind, numbers, body):
    check(struct.pack("<iiqqqq", kind, 9, *numbers) + body)


@given(asks=INT64, bids=INT64, levels=st.lists(st.tuples(ANY_DOUBLE, ANY_DOUBLE), max_size=4))
def test_any_counts(asks, bids, levels):
    body = b"".join(struct.pack("<dd", *level) for level in levels)
    check(struct.pack("<iiqqqqqq", 2, 9, 0, 0, 0, 0, asks, bids) + body)


@given(asks=LEVELS, bids=LEVELS, cut=st.integers(0, 20))
def test_good_depth_and_every_cut_of_it(asks, bids, cut):
    data = depth(9, 1, asks, bids)
    packet = parse_packet(data)
    assert (packet.asks, packet.bids) == (asks, bids)
    if cut:
        with pytest.raises(MessageError, match=r"bad_length|too_short"):
            parse_packet(data[:-cut])


@given(kind=st.sampled_from([1, -1, 3, -3]), price=ANY_DOUBLE, size=ANY_DOUBLE)
def test_any_numbers(kind, price, size):
    check(single(kind, 9, 1, price, size))
