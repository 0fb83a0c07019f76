"""Starting `qtxconn venue` as a process of its own and stopping it, from a demo, a test or a benchmark."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from typing import Any

import orjson

from qtxconn.errors import ConfigurationError, QtxconnError

READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
_STDERR_LINES_KEPT = 50


class VenueProcess:
    """The embedded venue in its own process: `async with VenueProcess([...options]) as venue: venue.endpoints`.

    `options` are those of `qtxconn venue`. The process ends with this one, however this one ends. Raises
    ConfigurationError with the venue's own line when it does not come up.
    """

    def __init__(self, options: Sequence[str]) -> None:
        self._options = list(options)
        self._process: asyncio.subprocess.Process | None = None
        self._stderr: asyncio.Task[None] | None = None
        self._stderr_lines: list[str] = []
        self.endpoints: dict[str, Any] = {}
        """What the venue printed when it was ready: `rest`, `ws_private`, `qtx_udp`, `qtx_shm`, ..."""

    async def __aenter__(self) -> VenueProcess:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "qtxconn",
            "venue",
            *self._options,
            "--exit-with-parent",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self._stderr = asyncio.create_task(self._keep_stderr())
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), READY_TIMEOUT_S)
        except BaseException:
            await self._stop()
            raise
        if not line:
            await self._stop()
            raise ConfigurationError(self._failure())
        self.endpoints = orjson.loads(line)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        status = await self._stop()
        if status != 0 and exc_info[0] is None:
            raise QtxconnError(f"the venue ended with status {status}: {self._failure()}")

    @property
    def log(self) -> list[str]:
        """The newest lines the venue logged."""
        return list(self._stderr_lines)

    async def _keep_stderr(self) -> None:
        async for line in self._process.stderr:
            self._stderr_lines.append(line.decode(errors="replace").rstrip())
            del self._stderr_lines[:-_STDERR_LINES_KEPT]

    async def _stop(self) -> int:
        process = self._process
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            process.kill()
            await process.wait()
        await self._stderr
        return process.returncode

    def _failure(self) -> str:
        if not self._stderr_lines:
            return "the venue ended without a word"
        return self._stderr_lines[-1].removeprefix("qtxconn: error: ")
