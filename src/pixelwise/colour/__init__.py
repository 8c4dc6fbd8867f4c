"""Colour spaces, and the palettes of colours that classes stand for."""
