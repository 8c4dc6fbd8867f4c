"""Networks: their configurations, definitions, files and cards, and the device that runs them."""
