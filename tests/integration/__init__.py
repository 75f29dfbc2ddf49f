"""Tests of several rooms together, in one process."""
