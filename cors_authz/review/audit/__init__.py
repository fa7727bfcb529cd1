"""Audit files read again: is the chain whole, and what belongs to one request."""
