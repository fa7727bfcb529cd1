"""The guards: each objects to a request, or stays silent. No guard knows another."""
