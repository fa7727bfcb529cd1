"""The audit trail: each decision as one line of JSON, chained by hashes, lost only where it is counted."""
