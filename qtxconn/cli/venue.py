"""`qtxconn venue`: the embedded venue alone, its endpoints as one JSON line."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click
import orjson

from qtxconn.sim.process import DEFAULT_BALANCE, DIALECTS, INSTRUMENTS, AccountSettings, VenueSettings, run_venue

_ACCOUNT_FORM = "expected KEY:SECRET[:PASSPHRASE][:BALANCE], for example mykey:mysecret or mykey:mysecret::5000"
# Keys travel in HTTP headers and in the 100-byte fields of an order slot.
_CREDENTIAL = re.compile(r"[!-~]{1,99}")
_SEGMENT_NAME = re.compile(r"/?[A-Za-z0-9_.-]{1,254}")
PORT = click.IntRange(0, 65_535)


def parse_account(text: str) -> AccountSettings:
    """KEY:SECRET[:PASSPHRASE][:BALANCE], the balance in quote asset. Errors never show any of it."""
    parts = text.split(":")
    if not 2 <= len(parts) <= 4 or not all(map(_CREDENTIAL.fullmatch, parts[:2])):
        raise click.BadParameter(_ACCOUNT_FORM)
    balance = DEFAULT_BALANCE
    if len(parts) == 4 and parts[3]:
        try:
            balance = Decimal(parts[3])
        except InvalidOperation:
            balance = Decimal(-1)
        if not balance.is_finite() or not 0 <= balance <= Decimal("1e15"):
            raise click.BadParameter(f"BALANCE must be a number from 0 to 1e15; {_ACCOUNT_FORM}")
    return AccountSettings(parts[0], parts[1], parts[2] if len(parts) > 2 else "", balance)


def _accounts(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> tuple[AccountSettings, ...]:
    accounts = tuple(parse_account(value) for value in values)
    if len({account.api_key for account in accounts}) != len(accounts):
        raise click.BadParameter("two accounts have the same key; give each its own")
    return accounts


def _dialect(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    if value not in DIALECTS:
        raise click.BadParameter(f"there is no dialect {value!r}; choose from: {', '.join(DIALECTS)}")
    return value


def _segment(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    if value and not _SEGMENT_NAME.fullmatch(value):
        raise click.BadParameter("a segment name is 1 to 254 letters, digits, '_', '-' or '.', like /place_order_demo")
    return value if value.startswith("/") or not value else f"/{value}"


def check_host(host: str, allow_non_loopback: bool) -> str:
    """The IPv4 address to bind; anything but loopback only if it is wanted in so many words."""
    try:
        address = ipaddress.IPv4Address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise click.BadParameter("expected an IPv4 address such as 127.0.0.1", param_hint="'--host'") from None
    if not address.is_loopback and not allow_non_loopback:
        raise click.BadParameter(
            f"{address} is reachable from other machines; use 127.0.0.1, or add --allow-non-loopback",
            param_hint="'--host'",
        )
    return str(address)


@click.command()
@click.option(
    "--speak",
    required=True,
    callback=_dialect,
    help=f"The exchange whose dialect it speaks: {', '.join(DIALECTS)}.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="IPv4 address to listen on.")
@click.option("--port", type=PORT, default=0, help="TCP port for REST and WebSockets; 0: any free one.")
@click.option("--recording", type=click.Path(path_type=Path), help="Replay this recorded session as the market.")
@click.option(
    "--speed",
    type=click.FloatRange(0, 10_000, min_open=True),
    default=1.0,
    show_default=True,
    help="Replay this many times faster.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=1, show_default=True, help="Of the synthetic market."
)
@click.option(
    "--account",
    "accounts",
    multiple=True,
    metavar="KEY:SECRET[:PASSPHRASE][:BALANCE]",
    callback=_accounts,
    help="Open an account; may be repeated. A SECRET of ed25519=PUBLICKEY (base64) takes requests signed with that "
    "key. Without any, a demo account is opened and printed.",
)
@click.option(
    "--symbol",
    "symbols",
    multiple=True,
    type=click.Choice(list(INSTRUMENTS)),
    help="List this symbol, with a synthetic market unless it is the recording's; may be repeated.  [default: BTCUSDT]",
)
@click.option("--faults", type=click.Path(path_type=Path), help="Start with this fault script (JSON).")
@click.option("--control-port", type=PORT, default=0, help="Loopback port of the control endpoint; 0: any free one.")
@click.option("--qtx-udp", "qtx_udp_port", type=PORT, default=0, help="UDP port of the QTX feed; 0: any free one.")
@click.option(
    "--qtx-shm",
    callback=_segment,
    default="",
    help="Name of the QTX order queue; made from the process id if not given.",
)
@click.option("--allow-non-loopback", is_flag=True, help="Let --host be an address that others can reach.")
@click.option("--exit-with-parent", is_flag=True, help="Stop when standard input is closed.")
@click.argument("extra", nargs=-1, metavar="")
def venue(host: str, allow_non_loopback: bool, extra: tuple[str, ...], **settings: Any) -> None:
    """Run the embedded venue until SIGINT or SIGTERM; print its endpoints as one JSON line."""
    if extra:  # not shown: it may be an account whose --account was forgotten
        raise click.UsageError("unexpected argument; everything is given by options, see qtxconn venue --help")
    host = check_host(host, allow_non_loopback)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(run_venue(VenueSettings(host=host, **settings), _print_endpoints))


def _print_endpoints(endpoints: dict[str, Any]) -> None:
    click.echo(orjson.dumps(endpoints).decode())
