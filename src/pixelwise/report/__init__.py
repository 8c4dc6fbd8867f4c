"""Pages as single HTML files: of a run, of the scores of a model or a head."""
