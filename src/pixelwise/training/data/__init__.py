"""Data sets of pictures to learn colours from."""
