"""Exchange connectors, one package a venue."""
