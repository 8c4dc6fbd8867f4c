"""The handout answered whole, by measurement."""
