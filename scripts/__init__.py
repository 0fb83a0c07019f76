"""What building, testing and benchmarking from a checkout need besides the package."""
