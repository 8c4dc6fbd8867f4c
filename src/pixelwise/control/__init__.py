"""What people say about a photo's colours, and what becomes of a network's chances then; no network runs."""
