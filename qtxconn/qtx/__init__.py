"""QTX: UDP market data, shared-memory orders, and the hybrid connector."""
