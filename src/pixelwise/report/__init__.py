"""Pages: of a run, of a head's scores."""

from pixelwise.report.evaluation import write_evaluation
from pixelwise.report.run import compare, curves, final_scores, pictures, repeat, write_report

__all__ = ["compare", "curves", "final_scores", "pictures", "repeat", "write_evaluation", "write_report"]
