"""A small exchange in memory for the journal's tests, and its lease files kept out of the user's directory."""

from __future__ import annotations

from ..core.conftest import _state_dir, kit  # noqa: F401 - fixtures
