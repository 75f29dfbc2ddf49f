"""The words Penstock speaks: pure data, no I/O, no clock, no environment."""
