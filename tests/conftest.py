"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# No test depends on how fast the machine is.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's root directory."""
    return ROOT


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Recorded data and payloads of third parties; they are not part of the project."""
    directory = Path(os.environ.get("QTXCONN_SHARED", ROOT.parent / "shared"))
    if not directory.is_dir():
        pytest.skip(f"recorded payloads are not here: {directory} is missing (set QTXCONN_SHARED)")
    return directory
