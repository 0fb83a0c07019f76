"""What a benchmark module needs: it declares jobs, the harness runs, checks and reports them."""

from benchmarks.harness.bench import Bench
from benchmarks.harness.jobs import BenchError, Goal, Job, Row, Sample

__all__ = ["Bench", "BenchError", "Goal", "Job", "Row", "Sample"]
