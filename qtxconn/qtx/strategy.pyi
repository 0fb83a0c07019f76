"""Types of the strategy that a feed calls."""

from qtxconn.core.order_book import OrderBook

class Strategy:
    def on_book(self, book: OrderBook, bid: float, ask: float) -> None: ...
    def on_trade(self, book: OrderBook, price: float, amount: float, is_buy: bool) -> None: ...
