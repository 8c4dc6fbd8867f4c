"""The doors for browsers and other programs."""
