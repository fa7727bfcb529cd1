"""How a policy writes origins, hosts and paths: text in; a pattern, or the problem with the right form, out."""
