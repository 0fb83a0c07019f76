"""Types of the exact decimals' Python face."""

from decimal import Decimal
from typing import Literal

def decimal_round_trip(value: Decimal | int | str) -> Decimal: ...
def quantize_decimal(
    value: Decimal | int | str,
    increment: Decimal | int | str,
    rounding: Literal["down", "up", "floor", "ceiling"],
) -> Decimal: ...
