"""What the tick-to-trade benchmark runs: one decision, in Cython and in Python, behind several clients."""
