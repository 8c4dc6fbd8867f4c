"""A class for every pixel: colour grey photographs and cut things out of them, on the machine you have."""

__version__ = "0.1.0"
