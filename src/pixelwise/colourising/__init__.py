"""Colouring: logits of a small grey copy, changed by what the user knows, then chroma for the whole photo."""
