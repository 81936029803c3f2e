"""Models: the only door to diffusers' classes, and the edits that change them."""
