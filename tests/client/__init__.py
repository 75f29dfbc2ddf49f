"""The SDK against a real Penstock."""
