"""The embedded simulated venue: matching engine, markets, wire dialects."""
