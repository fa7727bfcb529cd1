"""What browsers promise and what a request says of itself: the standard library only, and no policy."""
