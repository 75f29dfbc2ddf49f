"""The doors in: HTTP routes that translate a dialect into one envelope and admit it."""
