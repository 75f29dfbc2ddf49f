"""Streamed answers: what a reader is told, when, and in which dialect."""
