"""Makes the test server beside these tests importable under importlib import mode."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_PATH = Path(__file__).with_name("qtx_server.py")
_SPEC = importlib.util.spec_from_file_location("qtx_server", _PATH)
sys.modules["qtx_server"] = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(sys.modules["qtx_server"])
