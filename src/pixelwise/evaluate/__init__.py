"""Scores with intervals, beside baselines: of networks on pictures, of heads and colourisers on photos."""
