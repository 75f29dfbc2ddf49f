"""The demo: two real models on this machine, Penstock in front of them. Not part of the wheel."""
