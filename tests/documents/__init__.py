"""Running what README.md and docs/ show: their blocks, a stage for them, and how each is run."""
