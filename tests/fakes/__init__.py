"""Backends and clocks whose behaviour a test scripts."""
