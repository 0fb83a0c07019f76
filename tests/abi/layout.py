"""Writes the binary interface, what a consumer compiled earlier relies on, as JSON to a file or standard output.

Sizes, offsets and enum values come from the compiler; sizes of the compiled classes from the running package; their
method tables from the C++ that Cython generated (build/cython); exported C functions from the modules' capsules.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
GENERATED = ROOT / "build" / "cython"

# Header -> struct -> fields that consumers may touch; without fields only the size counts.
STRUCTS: dict[str, dict[str, str]] = {
    "fixed.hpp": {"Fixed": "units scale"},
    "venue_ids.hpp": {"VenueIdTable": ""},
    "in_flight_order.hpp": {
        "Fee": "asset amount",
        "Fill": "trade_id price_units amount_units quote_units fee_units venue_ns order next",
        "Transition": "time_ns from to reason",
        "InFlightOrder": "client_id exchange_id amount_units executed_units reported_units quote_units venue_ns "
        "acked_ns first_fill_ns moved_ns moves generation symbol first_fill last_fill past_id transition_count state "
        "reported base_scale quote_scale price_scale price_units created_ns submitted_ns amended_ns leverage "
        "not_found_count move_gaps_ns",
    },
    "client_order_tracker.hpp": {
        "OrderEvent": "kind slot generation fill time_ns amount price",
        "OrderListener": "context on_event",
        "ClientOrderTracker": "",
    },
    "order_id.hpp": {"OrderIdSource": ""},
    "spin_lock.hpp": {"SpinLock": ""},
    "sequence_lock.hpp": {"SequenceLock": ""},
    "level_side.hpp": {"LevelSide": ""},
    "l2_book.hpp": {"BookLevel": "price size", "LastTrade": "price size time_ns taker_side", "L2Book": "lock"},
    "book_query.hpp": {"BookQuery": "lots tick_lots price size complete overflow"},
    "latency_histogram.hpp": {"LatencyHistogram": ""},
    "qtx_packet.hpp": {
        "qtx::Level": "price size",
        "qtx::PacketView": "type index tx_ms event_ms local_ns sn_id ask_count bid_count body",
    },
    "qtx_segment.hpp": {
        "qtx::OrderSlot": "mode side pos_side client_order_id order_type price_match place_ts_ns res_ts_ns size "
        "price api_key api_secret symbol res_msg",
        "qtx::Segment": "from_idx to_idx slots",
        "qtx::TextView": "data size",
    },
    "qtx_wait.hpp": {"qtx::WaitPolicy": "spin_ns yield_ns sleep_min_ns sleep_max_ns linger_ns"},
    "qtx_segment_map.hpp": {"qtx::SegmentMap": ""},
    "qtx_order_producer.hpp": {
        "qtx::OrderRequest": "mode side pos_side client_order_id order_type price_match place_ts_ns size price "
        "symbol api_key api_secret",
        "qtx::AnswerView": "slot late mode client_order_id place_ts_ns res_ts_ns message",
        "qtx::QueueProducer": "",
    },
    "qtx_order_consumer.hpp": {"qtx::QueueConsumer": ""},
    "qtx_watcher.hpp": {"qtx::EventFd": ""},
    "qtx_order_client.hpp": {"qtx::OrderClient": "", "qtx::OrderManager": ""},
    "qtx_strategy.hpp": {
        "qtx::FeedTrade": "symbol is_buy price size event_ms received_ns",
        "qtx::FeedHandler": "context on_book on_trade",
    },
    "qtx_decoder.hpp": {
        "qtx::FeedOptions": "header_layout depth_semantics",
        "qtx::FeedNews": "kind whole trade symbol ask_count bid_count sn_id event_ms received_ns",
    },
    "qtx_feed.hpp": {
        "qtx::FeedStatistics": "datagrams messages rejects lost kernel_drops last_received_ns",
        "qtx::FeedText": "socket symbol bound size data",
        "qtx::Feed": "",
    },
    "qtx_liveness.hpp": {"qtx::SymbolTrouble": "symbol trouble", "qtx::Liveness": ""},
}


def layouts() -> dict[str, dict[str, int]]:
    """{struct: {"sizeof": bytes, field: offset}}, {"enum X": {member: value}} and the ABI number, by the compiler."""
    lines = []
    for header, structs in STRUCTS.items():
        lines += [f'#include "qtxconn/{header}"']
        for name, fields in structs.items():
            lines.append(f'ROW("{name}", "sizeof", sizeof(qtxconn::{name}))')
            lines += [f'ROW("{name}", "{field}", offsetof(qtxconn::{name}, {field}))' for field in fields.split()]
    for header in sorted((ROOT / "include" / "qtxconn").glob("*.hpp")):
        lines.append(f'#include "qtxconn/{header.name}"')
        text = re.sub(r"//[^\n]*", "", header.read_text())
        space = "".join(f"{name}::" for name in re.findall(r"^namespace ([\w:]+) \{", text, re.M)[:1])
        for enum, body in re.findall(r"\nenum class (\w+)[^{;]*\{([^}]*)\}", text):
            for member in re.findall(r"(\w+)\s*(?:=[^,]*)?(?:,|$)", body.strip()):
                lines.append(f'ROW("enum {enum}", "{member}", static_cast<int>({space}{enum}::{member}))')
    includes = sorted(line for line in lines if line.startswith("#"))
    rows = "\n".join(line for line in lines if not line.startswith("#"))
    source = "\n".join(
        [
            "#include <cstddef>",
            "#include <cstdio>",
            *includes,
            '#define ROW(a, b, c) std::printf("%s\\t%s\\t%lld\\n", a, b, static_cast<long long>(c));',
            f"int main() {{\n{rows}\n}}",
        ]
    )
    compiler = shlex.split(os.environ.get("CXX") or sysconfig.get_config_var("CXX") or "g++")
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory) / "layout"
        flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-Wno-invalid-offsetof", "-pthread"]
        subprocess.run(
            [*compiler, *flags, "-I", ROOT / "include", "-x", "c++", "-", "-o", program],
            input=source,
            text=True,
            check=True,
        )
        output = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    table: dict[str, dict[str, int]] = {}
    for line in output.splitlines():
        name, key, value = line.split("\t")
        table.setdefault(name, {})[key] = int(value)
    return table


def public_modules() -> list[str]:
    """Compiled modules that can be cimported."""
    sources = sorted((ROOT / "qtxconn").rglob("*.pyx"))
    return [
        ".".join(source.relative_to(ROOT).with_suffix("").parts)
        for source in sources
        if source.with_suffix(".pxd").is_file()
    ]


def method_tables(module: str) -> dict[str, list[str]]:
    """{class: C signatures of its methods, in the order of its table}."""
    generated = GENERATED.joinpath(*module.split(".")).with_suffix(".cpp")
    if not generated.is_file():
        raise SystemExit(f"{generated} is missing: build first, with 'make test'")
    text = generated.read_text().replace("__PYX_ENUM_CLASS_DECL ", "")
    for other in public_modules():
        mangled = "".join(f"{len(part)}{part}_" for part in other.split("."))
        text = re.sub(rf"(?:struct )?__pyx_(obj|vtabstruct)_{mangled}", rf"\1 {other}.", text)
    tables = re.findall(rf"^vtabstruct {re.escape(module)}\.(\w+) \{{\n(.*?)^\}};", text, re.M | re.S)
    return {name: [" ".join(line.split()) for line in body.splitlines()] for name, body in tables}


def classes(module: str) -> dict[str, int]:
    """{class: size of an instance in bytes} of the classes that the .pxd declares."""
    pxd = ROOT.joinpath(*module.split(".")).with_suffix(".pxd").read_text()
    loaded = importlib.import_module(module)
    return {name: getattr(loaded, name).__basicsize__ for name in re.findall(r"^cdef class (\w+)", pxd, re.M)}


def functions(module: str) -> dict[str, str]:
    """{exported C function: its signature}."""
    capsules = getattr(importlib.import_module(module), "__pyx_capi__", {})
    return {name: re.findall(r'"(.*)"', repr(capsule))[0] for name, capsule in sorted(capsules.items())}


def interface() -> dict[str, object]:
    abi = re.findall(r"#define QTXCONN_ABI (\d+)", (ROOT / "include" / "qtxconn" / "abi.hpp").read_text())
    return {
        "abi": int(abi[0]),
        "layouts": layouts(),
        "modules": {
            module: {"classes": classes(module), "methods": method_tables(module), "functions": functions(module)}
            for module in public_modules()
        },
    }


if __name__ == "__main__":
    text = json.dumps(interface(), indent=1, sort_keys=True) + "\n"
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text)
    else:
        sys.stdout.write(text)
