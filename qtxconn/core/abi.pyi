"""The number of the binary interface; nothing to call from Python (see abi.pxd)."""
