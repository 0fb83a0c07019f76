"""Names of a perpetual: BTC-USDT (ours), binance-futures:btcusdt (the QTX feed), BTCUSDT (the exchange)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

from qtxconn.errors import ConfigurationError

# Quote assets of linear perpetuals; no exchange symbol says where the base ends, so the quote must be known.
_QUOTES = ("USDT", "USDC", "USD")


@dataclass(frozen=True, slots=True)
class QtxVenue:
    """How one exchange's perpetuals are named. `split` undoes `join`; None where the text is no such symbol."""

    name: str
    prefix: str
    join: Callable[[str, str], str]
    split: Callable[[str], tuple[str, str] | None]
    feed_uses_exchange_symbol: bool = False


def _split_plain(symbol: str, suffix: str = "") -> tuple[str, str] | None:
    """BTCUSDT -> (BTC, USDT)."""
    if suffix and not symbol.endswith(suffix):
        return None
    body = symbol[: len(symbol) - len(suffix)]
    for quote in _QUOTES:
        if body.endswith(quote) and len(body) > len(quote):
            return body[: -len(quote)], quote
    return None


def _split_by(symbol: str, separator: str, suffix: str = "") -> tuple[str, str] | None:
    """BTC-USDT-SWAP -> (BTC, USDT)."""
    if not symbol.endswith(suffix):
        return None
    base, found, quote = symbol[: len(symbol) - len(suffix)].partition(separator)
    return (base, quote) if found and base and quote in _QUOTES else None


# KuCoin's futures call bitcoin XBT.
def _join_kucoin(base: str, quote: str) -> str:
    if base == "XBT":
        raise ConfigurationError(f"'XBT-{quote}' is no trading pair; KuCoin's XBT is BTC here: write 'BTC-{quote}'")
    return f"{'XBT' if base == 'BTC' else base}{quote}M"


def _split_kucoin(symbol: str) -> tuple[str, str] | None:
    parts = _split_plain(symbol, "M")
    if parts is None or parts[0] == "BTC":
        return None
    return ("BTC" if parts[0] == "XBT" else parts[0]), parts[1]


VENUES = {
    venue.name: venue
    for venue in (
        QtxVenue("binance", "binance-futures", lambda base, quote: base + quote, _split_plain),
        QtxVenue(
            "okx",
            "okx-futures",
            lambda base, quote: f"{base}-{quote}-SWAP",
            lambda symbol: _split_by(symbol, "-", "-SWAP"),
        ),
        QtxVenue("bybit", "bybit-futures", lambda base, quote: base + quote, _split_plain),
        QtxVenue("bitget", "bitget-futures", lambda base, quote: base + quote, _split_plain),
        QtxVenue("kucoin", "kucoin-futures", _join_kucoin, _split_kucoin, feed_uses_exchange_symbol=True),
        QtxVenue(
            "gate_io",
            "gate-io-futures",
            lambda base, quote: f"{base}_{quote}",
            lambda symbol: _split_by(symbol, "_"),
        ),
    )
}
VENUES_BY_PREFIX = {venue.prefix: venue for venue in VENUES.values()}


def qtx_venue(name: str) -> QtxVenue:
    """The venue by name ("binance") or feed prefix ("binance-futures"). ConfigurationError names the valid ones."""
    venue = VENUES.get(name) or VENUES_BY_PREFIX.get(name)
    if venue is None:
        near = get_close_matches(name, [*VENUES, *VENUES_BY_PREFIX], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigurationError(f"QTX knows no venue {name!r}; it knows {', '.join(VENUES)}{hint}")
    return venue


def split_trading_pair(trading_pair: str) -> tuple[str, str]:
    """BTC-USDT -> (BTC, USDT). ConfigurationError for anything of another form."""
    base, dash, quote = trading_pair.partition("-")
    if not (dash and base and quote) or not (base + quote).isalnum() or not (base + quote).isascii():
        raise ConfigurationError(f"{trading_pair!r} is no trading pair; write it as BASE-QUOTE, for example BTC-USDT")
    if trading_pair != trading_pair.upper():
        raise ConfigurationError(f"{trading_pair!r} is no trading pair; did you mean {trading_pair.upper()!r}?")
    if quote not in _QUOTES:
        raise ConfigurationError(
            f"{trading_pair!r}: perpetuals are quoted in {', '.join(_QUOTES)}, not {quote}; write BASE-QUOTE"
        )
    return base, quote


def exchange_symbol(venue_name: str, trading_pair: str) -> str:
    """BTC-USDT -> BTCUSDT, BTC-USDT-SWAP, XBTUSDTM ... as the venue has it."""
    return qtx_venue(venue_name).join(*split_trading_pair(trading_pair))


def trading_pair_of_exchange_symbol(venue_name: str, symbol: str) -> str:
    """XBTUSDTM -> BTC-USDT. ConfigurationError if the venue has no such form."""
    venue = qtx_venue(venue_name)
    parts = venue.split(symbol)
    if parts is None:
        raise ConfigurationError(
            f"{symbol!r} is no {venue.name} perpetual; one looks like {venue.join('BTC', 'USDT')!r}"
        )
    return "-".join(parts)


def qtx_symbol(venue_name: str, trading_pair: str) -> str:
    """BTC-USDT -> binance-futures:btcusdt; KuCoin's feed takes the exchange's own symbol (kucoin-futures:XBTUSDTM)."""
    venue = qtx_venue(venue_name)
    base, quote = split_trading_pair(trading_pair)
    if venue.feed_uses_exchange_symbol:
        return f"{venue.prefix}:{venue.join(base, quote)}"
    return f"{venue.prefix}:{(base + quote).lower()}"


def trading_pair_of_qtx_symbol(symbol: str) -> tuple[str, str]:
    """binance-futures:btcusdt -> ("binance", "BTC-USDT"). ConfigurationError for an unknown prefix or form."""
    prefix, colon, rest = symbol.partition(":")
    venue = VENUES_BY_PREFIX.get(prefix)
    if venue is None or not colon:
        raise ConfigurationError(
            f"{symbol!r} is no QTX symbol; it must be one of {', '.join(VENUES_BY_PREFIX)}, a colon and the pair"
        )
    if venue.feed_uses_exchange_symbol:
        return venue.name, trading_pair_of_exchange_symbol(venue.name, rest)
    parts = _split_plain(rest.upper()) if rest == rest.lower() else None
    if parts is None:
        raise ConfigurationError(f"{symbol!r} is no QTX symbol; one looks like {venue.prefix + ':btcusdt'!r}")
    return venue.name, "-".join(parts)
