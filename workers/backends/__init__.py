"""The places that serve models, one module per protocol."""
