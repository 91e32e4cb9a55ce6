"""Benchmarks: `python -m bench NAME`. They print figures and the published ones beside them; no test asserts a time."""
