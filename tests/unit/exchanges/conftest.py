"""A scripted Binance that takes, shows and cancels every order."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from .scripted_binance import CANCEL, PLACE, QUERY, ScriptedBinance, scripted_binance


@pytest.fixture
async def venue() -> AsyncIterator[ScriptedBinance]:
    async with scripted_binance() as venue:
        venue.answers[PLACE] = venue.answers[QUERY] = venue.order
        venue.answers[CANCEL] = lambda params: venue.order(params, "CANCELED")
        yield venue
