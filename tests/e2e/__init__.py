"""Tests from a client's side of the door to a backend and back."""
