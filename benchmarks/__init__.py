"""Benchmarks: jobs that run limits, peers and qtxconn alternately. Run them with `qtxconn bench`; see README.md."""
