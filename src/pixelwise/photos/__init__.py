"""Photos: found, read in strips, painted, written with their metadata; alone or as data sets."""
