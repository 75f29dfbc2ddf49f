"""Measurements: nothing here is a test, and no test asserts a time measured here."""
