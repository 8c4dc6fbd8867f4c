"""Pages: of a run, of a head's scores, of a colouriser's."""

from pixelwise.report.colouring import write_colour_evaluation
from pixelwise.report.evaluation import evaluation_path, write_evaluation
from pixelwise.report.run import compare, curves, final_scores, pictures, repeat, write_report

__all__ = [
    "compare",
    "curves",
    "evaluation_path",
    "final_scores",
    "pictures",
    "repeat",
    "write_colour_evaluation",
    "write_evaluation",
    "write_report",
]
