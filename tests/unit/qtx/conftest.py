"""Makes the modules that these tests share importable under importlib import mode, and starts their server."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

for _name in ("qtx_server", "feed_tools"):
    _spec = importlib.util.spec_from_file_location(_name, Path(__file__).with_name(f"{_name}.py"))
    sys.modules[_name] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[_name])


@pytest.fixture
async def server() -> AsyncIterator[Any]:
    server = await sys.modules["qtx_server"].start_server()
    yield server
    server.transport.close()


@pytest.fixture(params=["asyncio", "thread"])
def driver(request: pytest.FixtureRequest) -> str:
    return request.param
