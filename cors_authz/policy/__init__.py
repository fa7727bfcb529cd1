"""What the operator says: text in, frozen values out."""
