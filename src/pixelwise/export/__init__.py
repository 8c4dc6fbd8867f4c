"""Models and heads as ONNX: a file that runs without torch and without this package."""

from pixelwise.export.write import Exported, export_head, export_model

__all__ = ["Exported", "export_head", "export_model"]
