"""The gates of the scheduler: what is promised of order, fairness and limits, measured outside.

Each gate has a short size, which the tests run, and a long one: `python -m benchmarks.gates`.
What a request waited for is read from the fake backend's own account, never from Penstock's.
"""
