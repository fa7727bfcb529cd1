"""A span for each sampled check, below the span of Envoy's own call."""
