"""Operators' tools over what the service decided: records verified, joined, counted and compared. Pure."""
