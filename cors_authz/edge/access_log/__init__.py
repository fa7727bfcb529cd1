"""Envoy's access log service, in a process of its own: what clients got is compared with what was decided."""
