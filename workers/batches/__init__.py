"""Batches: a file of requests fed into the queues, and a file of their ends gathered from them."""
