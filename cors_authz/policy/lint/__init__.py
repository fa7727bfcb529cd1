"""What is wrong, or legal and yet dangerous, in a policy: a module for each part of the language.

Every module has its `RULES`, a function for each finding: it takes the policy as it stands in one environment and says
what it finds. What depends on the time, or on all that is found, takes that too, and is called by name.
"""
