"""More than one core: a process for each, with an endpoint of its own, all deciding by one generation of the policy."""
