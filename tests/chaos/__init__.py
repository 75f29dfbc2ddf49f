"""Tests that kill, freeze or starve processes on purpose."""
