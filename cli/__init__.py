"""The `penstock` command: wires the floors below together and decides nothing itself."""
