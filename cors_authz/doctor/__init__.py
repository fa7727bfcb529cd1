"""What is wrong in how an Envoy asks the service, told from its configuration. Pure: text and data in, findings out."""
