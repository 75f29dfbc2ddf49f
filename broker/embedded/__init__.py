"""One process on one data directory: queue, store and limits over a single SQLite file."""
