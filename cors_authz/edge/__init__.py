"""Clocks, files, sockets, keys and exporters: whatever the decision point must not touch."""
