"""For tests of connectors and strategies: a deterministic event loop, a network in memory, fault plans, invariants."""
