"""docs/hummingbot-differences.md: what it says is kept is there, and what it says is not there is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import qtxconn
from qtxconn.qtx.hybrid import create_qtx_connector_class

PAGE = (Path(__file__).parents[3] / "docs/hummingbot-differences.md").read_text()
CONNECTOR = create_qtx_connector_class("binance")
OWNERS = {
    "of an order": qtxconn.InFlightOrder,
    "of the tracker": qtxconn.ClientOrderTracker,
    "of a book": qtxconn.OrderBook,
    "classes": qtxconn,
    "enums and their values": qtxconn,
}


def named(section: str, column: int) -> list[tuple[object, str]]:
    """(owner, name) of every name in a column of a section's table."""
    text = re.search(rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE, re.S | re.M)
    assert text is not None
    found = []
    for row in re.findall(r"^\|(.*)\|$", text[1], re.M):
        cells = [cell.strip() for cell in row.split("|")]
        owner = next((owner for start, owner in OWNERS.items() if cells[0].startswith(start)), CONNECTOR)
        found += [(owner, name) for name in re.findall(r"`(\w+)`", cells[column])]
    assert len(found) > 20
    return found


@pytest.mark.parametrize(("owner", "name"), named("Kept", 1))
def test_what_is_kept_is_there(owner: object, name: str) -> None:
    assert hasattr(owner, name)


@pytest.mark.parametrize(("owner", "name"), named("Not there", 0))
def test_what_is_not_there_is_not(owner: object, name: str) -> None:
    assert not hasattr(owner, name)
