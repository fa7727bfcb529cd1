"""What is counted, how it is read, and by whom: a Prometheus that scrapes, or an OTLP collector that is sent it."""
