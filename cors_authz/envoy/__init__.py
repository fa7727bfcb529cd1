"""The only place that knows Envoy: its protobuf messages and its configuration."""
