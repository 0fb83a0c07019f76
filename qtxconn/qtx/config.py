"""The settings of a QTX hybrid connector, checked once, with errors that name the key and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from qtxconn.errors import ConfigurationError
from qtxconn.qtx.symbols import split_trading_pair

# Exchange backend -> "module:class". A text, so that nothing here imports an exchange before it is asked for.
EXCHANGE_CONNECTOR_CLASSES: dict[str, str] = {
    "binance": "qtxconn.exchanges.binance.perpetual:BinancePerpetual",
}

_HOST_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")


class QtxConnectorConfig(BaseModel):
    """All keys of a hybrid connector. Make it with `QtxConnectorConfig.parse(**settings)` to get ConfigurationErrors.

    Times are in seconds; `market_order_slippage` is a fraction of the price (0.005 = 0.5 %).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    exchange_backend: str = "binance"
    qtx_perpetual_host: str = "127.0.0.1"
    qtx_perpetual_port: Annotated[int, Field(ge=1, le=65535)] = 8080
    qtx_place_order_shared_memory_name: str | None = None
    exchange_api_key: SecretStr = SecretStr("")
    exchange_api_secret: SecretStr = SecretStr("")
    exchange_passphrase: SecretStr = SecretStr("")
    trading_pairs: Annotated[list[str], Field(min_length=1)]
    trading_required: bool = True
    driver: Literal["asyncio", "thread"] = "asyncio"
    header_layout: Literal["sdk", "legacy"] = "sdk"
    depth_semantics: Literal["merge", "replace"] = "merge"
    sequence: Literal["contiguous", "monotonic"] | dict[str, Literal["contiguous", "monotonic"]] = "contiguous"
    multicast_group: str | None = None
    multicast_interface: str = "0.0.0.0"
    stale_after_s: Annotated[float, Field(gt=0, le=3600)] = 10.0
    dead_after_s: Annotated[float, Field(gt=0, le=86400)] = 60.0
    market_order_slippage: Annotated[Decimal, Field(ge=0, le=Decimal("0.2"))] = Decimal("0.005")
    answer_timeout_s: Annotated[float, Field(gt=0, le=300)] = 5.0
    stall_limit_s: Annotated[float, Field(gt=0, le=300)] = 5.0
    allow_shared_access: bool = False

    @field_validator("exchange_backend", mode="before")
    @classmethod
    def _known_backend(cls, value: Any) -> Any:
        name = value.strip().lower() if isinstance(value, str) else str(value)
        if name not in EXCHANGE_CONNECTOR_CLASSES:
            near = get_close_matches(name, EXCHANGE_CONNECTOR_CLASSES, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"is {value!r}; it must be one of {', '.join(sorted(EXCHANGE_CONNECTOR_CLASSES))}{hint}")
        return name

    @field_validator("qtx_perpetual_host", mode="before")
    @classmethod
    def _host(cls, value: Any) -> str:
        text = str(value)  # an ipaddress object is as good as its text
        labels = text.split(".")
        if not all(_HOST_LABEL.fullmatch(label) for label in labels) or len(text) > 253:
            raise ValueError(f"is {text!r}; it must be an IPv4 address or a host name")
        if all(label.isdigit() for label in labels) and (len(labels) != 4 or any(int(label) > 255 for label in labels)):
            raise ValueError(f"is {text!r}; an IPv4 address is four numbers of 0 to 255")
        return text

    @field_validator("qtx_place_order_shared_memory_name")
    @classmethod
    def _segment_name(cls, value: str | None) -> str | None:
        if value is None:
            return None
        name = value if value.startswith("/") else "/" + value
        if not 2 <= len(name) <= 255 or "/" in name[1:]:
            raise ValueError(f"is {value!r}; it must be '/' and up to 254 characters without another '/'")
        return name

    @field_validator("trading_pairs")
    @classmethod
    def _pairs(cls, value: list[str]) -> list[str]:
        for pair in value:
            split_trading_pair(pair)
        repeated = sorted({pair for pair in value if value.count(pair) > 1})
        if repeated:
            raise ValueError(f"names {', '.join(repeated)} more than once")
        return value

    @model_validator(mode="after")
    def _keys_where_needed(self) -> QtxConnectorConfig:
        if self.trading_required:
            for key in ("exchange_api_key", "exchange_api_secret"):
                if not getattr(self, key).get_secret_value():
                    raise ValueError(f"{key}: is missing; trading needs it (or set trading_required=False)")
        return self

    @classmethod
    def parse(cls, **settings: Any) -> QtxConnectorConfig:
        """The checked settings. Raises ConfigurationError: one line, the key, what is allowed; never a secret."""
        given = {key: value for key, value in settings.items() if value is not None}
        try:
            return cls(**given)
        except ValidationError as error:
            raise ConfigurationError(_one_line(error)) from None


def _one_line(error: ValidationError) -> str:
    """The first problem, as "key: what is wrong"; the input is shown for keys that are no secrets."""
    problem = error.errors(include_url=False, include_input=False)[0]
    key = ".".join(str(part) for part in problem["loc"])
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "extra_forbidden":
        near = get_close_matches(key, QtxConnectorConfig.model_fields, n=1)
        return f"unknown setting {key!r}" + (f"; did you mean {near[0]!r}?" if near else "")
    if kind == "missing" or (key == "trading_pairs" and kind == "too_short"):
        return f"{key}: is missing" + ("; for example ['BTC-USDT']" if key == "trading_pairs" else "")
    text = str(context["error"]) if kind == "value_error" else problem["msg"]
    allowed = _allowed_range(key)
    return f"{key}: {text}{allowed}" if key else text


def _allowed_range(key: str) -> str:
    """ " (allowed: 1 to 65535)" for a number with limits, else nothing."""
    field = QtxConnectorConfig.model_fields.get(key)
    limits: Mapping[str, Any] = {
        name: getattr(item, name)
        for item in (field.metadata if field else ())
        for name in ("gt", "ge", "le")
        if getattr(item, name, None) is not None
    }
    if "le" not in limits:
        return ""
    low = f"above {limits['gt']} up" if "gt" in limits else str(limits["ge"])
    return f" (allowed: {low} to {limits['le']})"
