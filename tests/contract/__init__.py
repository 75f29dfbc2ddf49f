"""Tests of the shapes at the edges, with the unmodified public clients."""
