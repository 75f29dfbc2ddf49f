"""Batches at the door: how they are created, and how their progress is told."""
