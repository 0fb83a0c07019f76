"""Balances and positions of an account in Binance's words, with the margin figures worked out at mark price.

One quote asset, cross margin, one-way mode. The venue does not liquidate, so every liquidation price is "0".
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from qtxconn.sim.binance.codec import BRACKET_CAP, BRACKET_LEVERAGE, amount_text, plain_text

if TYPE_CHECKING:
    from qtxconn.sim.account import Account, SimPosition
    from qtxconn.sim.venue import Venue

# Maintenance margin of the venue's one leverage bracket.
MAINTENANCE_RATE = Decimal("0.004")
_ZERO = Decimal(0)


class AccountView:
    """One account at one moment. Amounts in the quote asset."""

    def __init__(self, venue: Venue, account: Account) -> None:
        self._account = account
        self._marks = {symbol: venue.mark_price(symbol) for symbol in venue.instruments}
        self._positions = [account.position(instrument) for instrument in venue.instruments.values()]
        self.wallet = account.wallet_balance
        self.unrealized = account.unrealized_pnl(self._marks)
        self.initial_margin = account.initial_margin(self._marks)
        self.position_margin = sum((self._position_margin(p) for p in self._positions), _ZERO)
        self.maintenance = sum((self._notional(p) * MAINTENANCE_RATE for p in self._positions), _ZERO)
        self.available = account.available_balance(self._marks)

    def balances(self, now_ms: int) -> list[dict[str, Any]]:
        """GET /fapi/v2|v3/balance."""
        return [
            {
                "accountAlias": "SgsR",
                "asset": self._account.quote,
                "balance": amount_text(self.wallet),
                "crossWalletBalance": amount_text(self.wallet),
                "crossUnPnl": amount_text(self.unrealized),
                "availableBalance": amount_text(self.available),
                "maxWithdrawAmount": amount_text(min(self.available, self.wallet)),
                "marginAvailable": True,
                "updateTime": now_ms,
            }
        ]

    def account(self, version: int, now_ms: int) -> dict[str, Any]:
        """GET /fapi/v2|v3/account. v2 lists every symbol, v3 only live positions and fewer fields."""
        margins = {
            "InitialMargin": self.initial_margin,
            "MaintMargin": self.maintenance,
            "WalletBalance": self.wallet,
            "UnrealizedProfit": self.unrealized,
            "MarginBalance": self.wallet + self.unrealized,
            "PositionInitialMargin": self.position_margin,
            "OpenOrderInitialMargin": self.initial_margin - self.position_margin,
            "CrossWalletBalance": self.wallet,
            "CrossUnPnl": self.unrealized,
        }
        free = {
            "availableBalance": amount_text(self.available),
            "maxWithdrawAmount": amount_text(min(self.available, self.wallet)),
        }
        result: dict[str, Any] = {f"total{name}": amount_text(value) for name, value in margins.items()} | free
        result["assets"] = [
            {"asset": self._account.quote}
            | {name[0].lower() + name[1:]: amount_text(value) for name, value in margins.items()}
            | free
            | {"marginAvailable": True, "updateTime": now_ms}
        ]
        if version == 2:
            result |= {
                "feeTier": 0,
                "canTrade": True,
                "canDeposit": True,
                "canWithdraw": True,
                "multiAssetsMargin": False,
                "tradeGroupId": -1,
                "updateTime": 0,
            }
        result["positions"] = [self._account_position(p, version) for p in self._listed(version)]
        return result

    def position_risk(self, version: int, symbol: str | None) -> list[dict[str, Any]]:
        """GET /fapi/v2|v3/positionRisk; v3 lists only symbols with a position or an open order."""
        return [self._risk(p, version) for p in self._listed(version) if symbol in (None, p.symbol)]

    # -- parts ----------------------------------------------------------------------------------------------

    def _listed(self, version: int) -> list[SimPosition]:
        if version == 2:
            return self._positions
        return [p for p in self._positions if p.amount or p.open_bids or p.open_asks]

    def _notional(self, position: SimPosition) -> Decimal:
        return abs(position.quantity) * self._marks[position.symbol]

    def _position_margin(self, position: SimPosition) -> Decimal:
        return self._notional(position) / self._account.leverage_of(position.symbol)

    def _margins(self, position: SimPosition) -> dict[str, str]:
        mark = self._marks[position.symbol]
        total = position.margin_notional(mark) / self._account.leverage_of(position.symbol)
        held = self._position_margin(position)
        return {
            "initialMargin": amount_text(total),
            "maintMargin": amount_text(self._notional(position) * MAINTENANCE_RATE),
            "positionInitialMargin": amount_text(held),
            "openOrderInitialMargin": amount_text(total - held),
        }

    def _account_position(self, position: SimPosition, version: int) -> dict[str, Any]:
        symbol = position.symbol
        result: dict[str, Any] = {
            "symbol": symbol,
            "positionSide": "BOTH",
            "positionAmt": plain_text(position.quantity),
            "unrealizedProfit": amount_text(position.unrealized_pnl(self._marks[symbol])),
            **self._margins(position),
            "updateTime": position.updated_ms,
        }
        if version == 2:
            result |= {
                "leverage": str(self._account.leverage_of(symbol)),
                "isolated": False,
                "isolatedWallet": "0",
                "entryPrice": plain_text(position.entry_price),
                "breakEvenPrice": plain_text(position.entry_price),
                "maxNotional": plain_text(BRACKET_CAP),
                "bidNotional": "0",
                "askNotional": "0",
            }
        else:
            result |= {
                "isolatedMargin": "0",
                "isolatedWallet": "0",
                "notional": amount_text(position.quantity * self._marks[symbol]),
            }
        return result

    def _risk(self, position: SimPosition, version: int) -> dict[str, Any]:
        symbol, mark = position.symbol, self._marks[position.symbol]
        result: dict[str, Any] = {
            "symbol": symbol,
            "positionSide": "BOTH",
            "positionAmt": plain_text(position.quantity),
            "entryPrice": plain_text(position.entry_price),
            "breakEvenPrice": plain_text(position.entry_price),
            "markPrice": amount_text(mark),
            "unRealizedProfit": amount_text(position.unrealized_pnl(mark)),
            "liquidationPrice": "0",
            "isolatedMargin": "0",
            "isolatedWallet": "0",
            "notional": amount_text(position.quantity * mark),
            "updateTime": position.updated_ms,
        }
        if version == 2:
            return result | {
                "leverage": str(self._account.leverage_of(symbol)),
                "maxNotionalValue": plain_text(BRACKET_CAP),
                "marginType": "cross",
                "isAutoAddMargin": "false",
            }
        return result | {
            "marginAsset": position.instrument.quote,
            **self._margins(position),
            "adl": 0,
            "bidNotional": "0",
            "askNotional": "0",
        }


def account_update(
    account: Account,
    reason: str,
    assets: list[tuple[str, Decimal]],
    positions: list[SimPosition],
    marks: dict[str, Decimal],
    changes: dict[str, Decimal],
    now_ms: int,
) -> dict[str, Any]:
    """ACCOUNT_UPDATE: changed balances (never the available one) and positions.

    `changes` is the balance change other than by profit and fee, per asset (funding, deposits).
    """
    return {
        "e": "ACCOUNT_UPDATE",
        "E": now_ms,
        "T": now_ms,
        "a": {
            "m": reason,
            "B": [
                {
                    "a": asset,
                    "wb": amount_text(wallet),
                    "cw": amount_text(wallet),
                    "bc": plain_text(changes.get(asset, _ZERO)),
                }
                for asset, wallet in assets
            ],
            "P": [
                {
                    "s": position.symbol,
                    "pa": plain_text(position.quantity),
                    "ep": plain_text(position.entry_price),
                    "bep": plain_text(position.entry_price),
                    "cr": plain_text(position.realized_pnl),
                    "up": amount_text(position.unrealized_pnl(marks[position.symbol])),
                    "mt": "cross",
                    "iw": "0",
                    "ps": "BOTH",
                }
                for position in positions
            ],
        },
    }


def leverage_bracket(symbol: str) -> dict[str, Any]:
    """The one bracket of a symbol: every notional at up to 125 times."""
    return {
        "symbol": symbol,
        "brackets": [
            {
                "bracket": 1,
                "initialLeverage": BRACKET_LEVERAGE,
                "notionalCap": int(BRACKET_CAP),
                "notionalFloor": 0,
                "maintMarginRatio": float(MAINTENANCE_RATE),
                "cum": 0.0,
            }
        ],
    }
