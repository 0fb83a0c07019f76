"""Balances and positions of an account in Binance's words, with the margin figures worked out at mark price.

One quote asset; cross and isolated margin, one-way and hedge mode.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from qtxconn.sim.binance.codec import amount_text, plain_text
from qtxconn.sim.risk import liquidation_price

if TYPE_CHECKING:
    from qtxconn.sim.account import Account, SimPosition
    from qtxconn.sim.model import Instrument
    from qtxconn.sim.venue import Venue

_ZERO = Decimal(0)


class AccountView:
    """One account at one moment. Amounts in the quote asset."""

    def __init__(self, venue: Venue, account: Account) -> None:
        self._venue = venue
        self._account = account
        self._marks = {symbol: venue.mark_price(symbol) for symbol in venue.instruments}
        self._positions = [leg for instrument in venue.instruments.values() for leg in account.legs(instrument)]
        self.wallet = account.wallet_balance
        self.cross_wallet = account.cross_wallet
        self.unrealized = account.unrealized_pnl(self._marks)
        self.cross_unrealized = account.cross_unrealized_pnl(self._marks)
        self.initial_margin = account.initial_margin(self._marks)
        self.position_margin = sum((self._position_margin(p) for p in self._positions), _ZERO)
        self.maintenance = sum((p.maintenance_margin(self._marks[p.symbol]) for p in self._positions), _ZERO)
        self.available = account.available_balance(self._marks)

    def balances(self, now_ms: int) -> list[dict[str, Any]]:
        """GET /fapi/v2|v3/balance."""
        return [
            {
                "accountAlias": "SgsR",
                "asset": self._account.quote,
                "balance": amount_text(self.wallet),
                "crossWalletBalance": amount_text(self.cross_wallet),
                "crossUnPnl": amount_text(self.cross_unrealized),
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
            "CrossWalletBalance": self.cross_wallet,
            "CrossUnPnl": self.cross_unrealized,
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
            result |= self.config() | {"updateTime": 0}
        result["positions"] = [self._account_position(p, version) for p in self._listed(version)]
        return result

    def config(self) -> dict[str, Any]:
        """GET /fapi/v1/accountConfig; part of the account of version 2."""
        return {
            "feeTier": 0,
            "canTrade": True,
            "canDeposit": True,
            "canWithdraw": True,
            "dualSidePosition": self._account.hedge_mode,
            "multiAssetsMargin": False,
            "tradeGroupId": -1,
        }

    def symbol_config(self, symbol: str) -> dict[str, Any]:
        """One entry of GET /fapi/v1/symbolConfig."""
        leverage = self._account.leverage_of(symbol)
        return {
            "symbol": symbol,
            "marginType": "ISOLATED" if symbol in self._account.isolated else "CROSSED",
            "isAutoAddMargin": False,
            "leverage": leverage,
            "maxNotionalValue": plain_text(self._venue.instruments[symbol].max_notional(leverage)),
        }

    def adl_quantile(self, instrument: Instrument) -> dict[str, Any]:
        """One entry of GET /fapi/v1/adlQuantile."""
        quantiles = {
            str(leg.position_side): self._venue.risk.quantile(self._account, leg)
            for leg in self._account.legs(instrument)
        }
        if self._account.hedge_mode:
            quantiles["HEDGE" if all(leg.amount for leg in self._account.legs(instrument)) else "BOTH"] = 0
        return {"symbol": instrument.symbol, "adlQuantile": quantiles}

    def position_risk(self, version: int, symbol: str | None) -> list[dict[str, Any]]:
        """GET /fapi/v2|v3/positionRisk; v3 lists only symbols with a position or an open order."""
        return [self._risk(p, version) for p in self._listed(version) if symbol in (None, p.symbol)]

    # -- parts ----------------------------------------------------------------------------------------------

    def _listed(self, version: int) -> list[SimPosition]:
        if version == 2:
            return self._positions
        return [p for p in self._positions if p.amount or p.open_bids or p.open_asks]

    def _position_margin(self, position: SimPosition) -> Decimal:
        return self._account.position_margin(position, self._marks[position.symbol])

    def _margins(self, position: SimPosition) -> dict[str, str]:
        mark = self._marks[position.symbol]
        held, ordered = self._position_margin(position), self._account.order_margin(position, mark)
        return {
            "initialMargin": amount_text(held + ordered),
            "maintMargin": amount_text(position.maintenance_margin(mark)),
            "positionInitialMargin": amount_text(held),
            "openOrderInitialMargin": amount_text(ordered),
        }

    def _isolated(self, position: SimPosition) -> dict[str, str]:
        """Margin balance and wallet of an isolated position."""
        if position.symbol not in self._account.isolated:
            return {"isolatedMargin": "0", "isolatedWallet": "0"}
        margin = position.isolated_wallet + position.unrealized_pnl(self._marks[position.symbol])
        return {"isolatedMargin": amount_text(margin), "isolatedWallet": amount_text(position.isolated_wallet)}

    def _order_notionals(self, position: SimPosition) -> dict[str, str]:
        value = position.instrument.value
        return {
            "bidNotional": plain_text(value(position.open_bids)),
            "askNotional": plain_text(value(position.open_asks)),
        }

    def _max_notional(self, position: SimPosition) -> str:
        return plain_text(position.instrument.max_notional(self._account.leverage_of(position.symbol)))

    def _account_position(self, position: SimPosition, version: int) -> dict[str, Any]:
        symbol = position.symbol
        result: dict[str, Any] = {
            "symbol": symbol,
            "positionSide": position.position_side,
            "positionAmt": plain_text(position.quantity),
            "unrealizedProfit": amount_text(position.unrealized_pnl(self._marks[symbol])),
            **self._margins(position),
            "updateTime": position.updated_ms,
        }
        if version == 2:
            return result | {
                "leverage": str(self._account.leverage_of(symbol)),
                "isolated": symbol in self._account.isolated,
                "isolatedWallet": self._isolated(position)["isolatedWallet"],
                "entryPrice": plain_text(position.entry_price),
                "breakEvenPrice": plain_text(position.entry_price),
                "maxNotional": self._max_notional(position),
                **self._order_notionals(position),
            }
        return result | self._isolated(position) | {"notional": amount_text(position.quantity * self._marks[symbol])}

    def _risk(self, position: SimPosition, version: int) -> dict[str, Any]:
        symbol, mark = position.symbol, self._marks[position.symbol]
        result: dict[str, Any] = {
            "symbol": symbol,
            "positionSide": position.position_side,
            "positionAmt": plain_text(position.quantity),
            "entryPrice": plain_text(position.entry_price),
            "breakEvenPrice": plain_text(position.entry_price),
            "markPrice": amount_text(mark),
            "unRealizedProfit": amount_text(position.unrealized_pnl(mark)),
            "liquidationPrice": plain_text(liquidation_price(self._account, position, self._marks)),
            **self._isolated(position),
            "notional": amount_text(position.quantity * mark),
            "updateTime": position.updated_ms,
        }
        if version == 2:
            return result | {
                "leverage": str(self._account.leverage_of(symbol)),
                "maxNotionalValue": self._max_notional(position),
                "marginType": self._account.margin_type(symbol),
                "isAutoAddMargin": "false",
            }
        return result | {
            "marginAsset": position.instrument.quote,
            **self._margins(position),
            "adl": self._venue.risk.quantile(self._account, position),
            **self._order_notionals(position),
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

    `changes` is the balance change other than by profit and fee, per asset (funding, deposits). Funding of a
    cross position tells of the balance only.
    """
    if reason == "FUNDING_FEE":
        positions = [position for position in positions if position.symbol in account.isolated]
    cross = account.cross_wallet
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
                    "cw": amount_text(cross),
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
                    "mt": account.margin_type(position.symbol),
                    "iw": amount_text(position.isolated_wallet) if position.symbol in account.isolated else "0",
                    "ps": position.position_side,
                }
                for position in positions
            ],
        },
    }


def margin_call(
    account: Account, positions: list[SimPosition], marks: dict[str, Decimal], now_ms: int
) -> dict[str, Any]:
    """MARGIN_CALL: the positions that may be liquidated soon."""
    return {
        "e": "MARGIN_CALL",
        "E": now_ms,
        "cw": amount_text(account.cross_wallet),
        "p": [
            {
                "s": position.symbol,
                "ps": position.position_side,
                "pa": plain_text(position.quantity),
                "mt": "ISOLATED" if position.symbol in account.isolated else "CROSSED",
                "iw": plain_text(position.isolated_wallet),
                "mp": plain_text(marks[position.symbol]),
                "up": amount_text(position.unrealized_pnl(marks[position.symbol])),
                "mm": amount_text(position.maintenance_margin(marks[position.symbol])),
            }
            for position in positions
        ],
    }


def leverage_bracket(instrument: Instrument) -> dict[str, Any]:
    """One entry of GET /fapi/v1/leverageBracket; its numbers are JSON numbers."""
    return {
        "symbol": instrument.symbol,
        "notionalCoef": 1.0,
        "brackets": [
            {
                "bracket": number,
                "initialLeverage": bracket.leverage,
                "notionalCap": int(bracket.cap),
                "notionalFloor": int(bracket.floor),
                "maintMarginRatio": float(bracket.maintenance_rate),
                "cum": float(bracket.deduction),
            }
            for number, bracket in enumerate(instrument.brackets, 1)
        ],
    }
