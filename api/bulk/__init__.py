"""Bulk intake: many requests in, their acknowledgements out, both as they come."""
