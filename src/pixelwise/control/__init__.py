"""Colours that people know or ask for, worked into a network's prediction without running it again."""
