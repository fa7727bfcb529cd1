"""What is handed to those who watch the service: rules for Prometheus, and dashboards for Grafana."""
