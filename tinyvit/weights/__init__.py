"""Published weights: read into the parameter tree, and written back, under each source's own names."""
