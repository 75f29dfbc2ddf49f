"""Webhooks: what the end of a request makes, and how it reaches its receivers."""
