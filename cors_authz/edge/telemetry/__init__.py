"""What traces, metrics and logs share: the OTLP collector that they are sent to, and what is said when it fails."""
