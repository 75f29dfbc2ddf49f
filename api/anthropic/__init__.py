"""Anthropic's dialect: its message batches."""
