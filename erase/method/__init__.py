"""Methods: the erasure objectives, and the loop that they share."""
