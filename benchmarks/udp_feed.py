"""The UDP feed: from memory to book, from a socket to book, one way, at full speed, with many symbols, and allocations.

The packets: 60 % tickers, 25 % trades, 15 % depth messages of 20 levels a side; 100 symbols. The limits check length,
index and sequence, and store the wire's doubles; ours converts to ticks and lots, keeps sorted books and judges them.
"C++, exact" (limits/exact_book.hpp) does that too, for a market within 64 known ticks, without a lock or a reader.
"""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from benchmarks.harness import Bench, Goal, Job, Row, Sample
from benchmarks.peers.reference_client import ReferenceFeed

LIMIT, EXACT, STAMPED, OURS = "C", "C++, exact", "C, with receive stamps", "qtxconn"
REFERENCE, STRUCT = "reference algorithm", "struct.unpack_from"
FEW, MANY = "100 symbols", "10,000 symbols"
SYMBOLS = 100
PEER_PACKETS = 20_000
HEADER, LEVEL, COUNTS = struct.Struct("<iiqqqq"), struct.Struct("<dd"), struct.Struct("<qq")


def make_packets(count: int, seed: int) -> list[bytes]:
    """As in limits/udp_feed.cpp, for the peers in Python."""
    chance = random.Random(seed)
    packets = []
    for number in range(1, count + 1):
        index, roll = chance.randrange(SYMBOLS) + 1, chance.random()
        kind = chance.choice((1, -1)) if roll < 0.6 else chance.choice((3, -3)) if roll < 0.85 else 2
        header = HEADER.pack(kind, index, 1, 1_700_000_000_000 + number // 20, 1, number)
        if kind == 2:
            levels = [60000.1 + k / 10 for k in range(20)] + [60000.0 - k / 10 for k in range(20)]
            body = COUNTS.pack(20, 20) + b"".join(
                LEVEL.pack(price, chance.randrange(1, 5000) / 1e3) for price in levels
            )
        else:
            body = LEVEL.pack(60000.0 if kind in (1, -3) else 60000.1, chance.randrange(1, 5000) / 1e3)
        packets.append(header + body)
    return packets


def run_reference(packets: list[bytes]) -> Sample:
    feed = ReferenceFeed({index: f"s{index}" for index in range(1, SYMBOLS + 1)})
    begin = time.perf_counter_ns()
    for number, packet in enumerate(packets):
        feed.process_message(packet)
        if number % 100 == 0:
            feed.drain()
    feed.drain()
    return Sample((time.perf_counter_ns() - begin) / len(packets), facts={"lost": feed.dropped})


def run_struct(packets: list[bytes]) -> Sample:
    """The least that Python can do: numbers unpacked, and put into a dict per symbol."""
    books: dict[int, dict[int, object]] = {index: {} for index in range(1, SYMBOLS + 1)}
    begin = time.perf_counter_ns()
    for packet in packets:
        kind, index, *_ = HEADER.unpack_from(packet)
        if kind == 2:
            asks, bids = COUNTS.unpack_from(packet, 40)
            books[index][kind] = struct.unpack_from(f"<{2 * (asks + bids)}d", packet, 56)
        else:
            books[index][kind] = LEVEL.unpack_from(packet, 40)
    return Sample((time.perf_counter_ns() - begin) / len(packets))


@contextmanager
def decode(bench: Bench) -> Iterator[list[Row]]:
    program = bench.compile("udp_feed.cpp")
    packets = make_packets(PEER_PACKETS, bench.seed)
    yield [
        Row.limit(LIMIT, lambda: bench.run(program, "bare", "decode", SYMBOLS)),
        Row.limit(EXACT, lambda: bench.run(program, "exact", "decode", SYMBOLS)),
        Row.ours(OURS, lambda: bench.run(program, "ours", "decode", SYMBOLS)),
        Row.peer(STRUCT, lambda: run_struct(packets)),
        Row.peer(REFERENCE, lambda: run_reference(packets)),
    ]


@contextmanager
def many_symbols(bench: Bench) -> Iterator[list[Row]]:
    program = bench.compile("udp_feed.cpp")

    def run(count: int) -> Sample:
        sample = bench.run(program, "ours", "decode", count)
        return Sample(sample.value, facts=sample.facts)  # other symbols, another checksum

    yield [Row.ours(FEW, lambda: run(100)), Row.ours(MANY, lambda: run(10_000))]


@contextmanager
def drain(bench: Bench) -> Iterator[list[Row]]:
    program = bench.compile("udp_feed.cpp")
    yield [
        Row.limit(LIMIT, lambda: bench.run(program, "bare", "drain")),
        Row.limit(STAMPED, lambda: bench.run(program, "stamped", "drain")),
        Row.ours(OURS, lambda: bench.run(program, "ours", "drain")),
    ]


def of_both(*arguments: object) -> Callable[[Bench], AbstractContextManager[list[Row]]]:
    """The rows of a job that the limit and ours do alike."""

    @contextmanager
    def rows(bench: Bench) -> Iterator[list[Row]]:
        program = bench.compile("udp_feed.cpp")
        yield [
            Row.limit(LIMIT, lambda: bench.run(program, "bare", *arguments)),
            Row.ours(OURS, lambda: bench.run(program, "ours", *arguments)),
        ]

    return rows


@contextmanager
def allocations(bench: Bench) -> Iterator[list[Row]]:
    program = bench.compile("udp_feed.cpp")
    yield [Row.ours(OURS, lambda: bench.run(program, "ours", "allocations"), once=True)]


JOBS = (
    Job(
        "packet",
        "How long does it take from a packet in memory to the book?",
        unit="ns/packet",
        rows=decode,
        goals=(
            Goal(OURS, LIMIT, at_most=1.25),
            Goal(OURS, EXACT, at_most=1.25),
            Goal(OURS, STRUCT, faster=25),
            Goal(OURS, REFERENCE, faster=400),
        ),
    ),
    Job(
        "packet-symbols",
        "What do 10,000 symbols cost, in time and in memory?",
        unit="ns/packet",
        rows=many_symbols,
        goals=(Goal(MANY, FEW, at_most=1.4), Goal(MANY, at_most=1.2 * 1024, of="bytes_per_symbol")),
    ),
    Job(
        "feed-drain",
        "How long does it take from a full socket to the book?",
        unit="ns/packet",
        rows=drain,
        goals=(Goal(OURS, LIMIT, at_most=1.08), Goal(OURS, STAMPED, at_most=1.08), Goal(OURS, at_most=0, of="lost")),
    ),
    Job(
        "feed-blast",
        "What does a sender at full speed get through, and what is lost?",
        unit="ns/packet",
        rows=of_both("blast"),
        pinned=False,  # the program gives its two threads a core each
        goals=(Goal(OURS, LIMIT, at_most=1.03), Goal(OURS, at_most=0, of="lost")),
    ),
    Job(
        "feed-one-way",
        "How old is a packet when the strategy is called, busy polling?",
        unit="ns",
        rows=of_both("latency", "busy"),
        pinned=False,  # the program gives its two threads a core each
        goals=(Goal(OURS, LIMIT, at_most=1.08), Goal(OURS, LIMIT, at_most=1.5, of="p99")),
    ),
    Job(
        "feed-one-way-epoll",
        "And when the receiver sleeps in epoll until it comes?",
        unit="ns",
        rows=of_both("latency", "epoll"),
        pinned=False,  # the program gives its two threads a core each
        goals=(Goal(OURS, LIMIT, at_most=1.10), Goal(OURS, LIMIT, at_most=1.5, of="p99")),
    ),
    Job(
        "feed-allocations",
        "How many allocations do 1,000,000 packets make, from the socket to the strategy?",
        unit="allocations",
        rows=allocations,
        goals=(Goal(OURS, at_most=0), Goal(OURS, at_most=0, of="minor_faults")),
    ),
)
