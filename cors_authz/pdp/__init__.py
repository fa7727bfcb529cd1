"""The policy decision point: pure, synchronous and total."""
