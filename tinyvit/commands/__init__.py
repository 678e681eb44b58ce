"""The commands, one file each: `add` declares its options, `run` does it and returns the exit status (None is 0)."""
