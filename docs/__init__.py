"""The documents, and the parts of them that are written from the code."""
