"""Tests of one module each: no process, no network, no disk beyond a temporary folder."""
