"""Everything that consumes: pools, executor, settlement, backends, keeper."""
