"""Pages and figures: of a run, and of the scores of a model or a head."""
