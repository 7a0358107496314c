"""Orchestration only: decide with `domain`, wait, call activities. No IO, no clocks, no random."""
