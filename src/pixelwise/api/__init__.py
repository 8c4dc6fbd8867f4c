"""Colouring, segmenting and learning from Python, and the demo that shows them."""
