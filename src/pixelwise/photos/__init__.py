"""Photos of any size, kind and provenance: found, read in strips, painted and written with their metadata."""
