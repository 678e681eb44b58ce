"""Models: one file each, in the same form as a layer."""
