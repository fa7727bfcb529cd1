"""A real Envoy and a small upstream around the service, for `cors-authz demo` and the integration tests."""
