"""From a TradeUpdate to the fill that the C++ store keeps: for Cython only."""
