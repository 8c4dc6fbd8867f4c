"""The assignment answered by measurement: figures, writeup, notebook."""
