"""The verbs of `penstock`, a module a noun; each imports what it needs only when it is called."""
