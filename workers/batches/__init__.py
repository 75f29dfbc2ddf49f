"""Batches: who runs each of them, what is fed into the queues, and what is written of its ends."""
