"""What a journal record costs, next to a bare copy and release store in the same run; and an order's in Python.

python benchmarks/order_journal.py [directory of the file, default the temporary one]
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path

from qtxconn.core.clock import SYSTEM_CLOCK
from qtxconn.core.in_flight_order import InFlightOrder
from qtxconn.core.types import OrderType, TradeType
from qtxconn.storage.journal import DURABILITIES, OrderJournal

ROOT = Path(__file__).resolve().parent.parent
ORDERS = {"process": 20_000, "group": 20_000, "power": 2_000}


def compiled(directory: Path) -> dict[str, dict[str, float]]:
    """The C++ program's figures."""
    compiler = shutil.which("g++") or sys.exit("benchmarks/order_journal.py: g++ is needed")
    program = directory / "order_journal"
    source = ROOT / "benchmarks" / "order_journal.cpp"
    subprocess.run([compiler, "-O2", "-std=c++17", f"-I{ROOT / 'include'}", source, "-o", program], check=True)
    return json.loads(subprocess.run([program, directory / "bench.journal"], check=True, capture_output=True).stdout)


def order_ns(directory: Path, durability: str) -> list[int]:
    """ns of each `write_order` of an InFlightOrder that exists already."""
    taken = []
    with OrderJournal(directory / f"{durability}.journal", durability=durability) as journal:
        for number in range(1, ORDERS[durability] + 1):
            order = InFlightOrder(
                str(number), "BTC-USDT", OrderType.LIMIT, TradeType.BUY, Decimal("0.01"), SYSTEM_CLOCK.now_ns() / 1e9,
                Decimal("60000.1"),
            )  # fmt: skip
            start = time.perf_counter_ns()
            journal.write_order(order, number, 10.0)
            taken.append(time.perf_counter_ns() - start)
    return sorted(taken)


def main(parent: str | None) -> None:
    with tempfile.TemporaryDirectory(dir=parent) as name:
        directory = Path(name)
        figures = compiled(directory)
        clock = figures["clock"]["p50_ns"]
        print(
            f"C++, one record (the clock's own {clock:.0f} ns are in p50 to p99.9, not in the mean of a batch of 64):"
        )
        for job, label in (("copy_and_release", "copy 248 B + release store"), ("intent", "intent"), ("fill", "fill")):
            row = figures[job]
            print(
                f"  {label:27} p50 {row['p50_ns']:5.0f} ns  p99 {row['p99_ns']:5.0f} ns  p99.9 {row['p999_ns']:6.0f} ns"
                f"  batch mean {row['batch_ns']:6.1f} ns  allocations {row['allocations']:.0f}"
            )
        ratio = figures["intent"]["batch_ns"] / figures["copy_and_release"]["batch_ns"]
        print(f"  intent / copy = {ratio:.1f}")
        print("Python, write_order() of an order:")
        for durability in DURABILITIES:
            taken = order_ns(directory, durability)
            print(
                f"  {durability:27} p50 {statistics.median(taken):5.0f} ns  p99 {taken[len(taken) * 99 // 100]:5.0f} ns"
                f"  p99.9 {taken[len(taken) * 999 // 1000]:6.0f} ns"
            )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
