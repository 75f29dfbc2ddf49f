"""Penstock's tests, one folder for each kind."""
