"""What is wrong, or legal and yet dangerous, in a policy: a module for each part of the language, a function for each finding.

Every module has its `RULES`: functions that take the policy as it stands in one environment and say what they find.
"""
