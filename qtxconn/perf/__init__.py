"""Latency recording and reports."""
