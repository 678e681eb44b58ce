"""A finished run, looked into: its figures, and the page that `tinyvit report` writes."""
