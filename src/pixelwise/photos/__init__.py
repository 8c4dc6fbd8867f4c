"""Photos of any size and kind: found, read, painted and written with their metadata, alone or as data sets."""
