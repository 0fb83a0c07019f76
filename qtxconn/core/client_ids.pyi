"""Types of the source of client order ids."""

from pathlib import Path

from qtxconn.core.clock import Clock

def default_lease_directory() -> Path: ...

class ClientIds:
    def __init__(
        self, *, instance: int | None = None, clock: Clock = ..., directory: str | Path | None = None
    ) -> None: ...
    @property
    def instance(self) -> int: ...
    def next(self) -> int: ...

def shared_client_ids() -> ClientIds: ...
