"""Files of 8-bit whole numbers: a quarter as large, calibrated on photos."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from pixelwise.export.onnx_file import only_errors


class _Photos(CalibrationDataReader):  # type: ignore[misc]  # it has no types
    """Photos one by one."""

    def __init__(self, inputs: Iterator[dict[str, Any]]) -> None:
        self._inputs = inputs

    def get_next(self) -> dict[str, Any] | None:
        """One more, or none."""
        return next(self._inputs, None)


def quantised(model: onnx.ModelProto, inputs: Iterator[dict[str, Any]]) -> onnx.ModelProto:
    """The same graph with convolutions in 8 bit, ranges as they are on `inputs`.

    Weights have a scale for each channel. Source: B. Jacob et al., arXiv:1712.05877.
    """
    onnxruntime.set_default_logger_severity(3)  # of sessions it opens: they warn of an input left out
    # it recommends, through the root logger, what is done here
    with only_errors(None), tempfile.TemporaryDirectory() as folder:
        whole, ready, small = (Path(folder) / name for name in ("whole.onnx", "ready.onnx", "small.onnx"))
        onnx.save(model, whole)
        quant_pre_process(whole, ready, skip_symbolic_shape=True)
        quantize_static(
            ready,
            small,
            _Photos(inputs),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(small)
