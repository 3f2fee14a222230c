"""A network in an ONNX file as a representation of images, run by onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def run_onnx(path: str, content: bytes) -> Callable[[Tensor], Any]:
    """Return a function that runs an ONNX model: (b, C, H, W), float32 -> its first output.

    Parameters
    ----------
    path : str
        For messages.
    content : bytes
        Content of the file. Weights in other files are not read.

    Raises
    ------
    ImportError
        Without onnxruntime.
    ValueError
        If it is no ONNX model with exactly one input.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(f"{path}: ONNX files need the package onnxruntime: pip install 'tollad[onnx]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # so that equal images give equal bits
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises undocumented types of errors
        raise ValueError(f"{path}: is no ONNX model that onnxruntime can run ({_short(error)})") from error
    if len(session.get_inputs()) != 1:
        raise ValueError(f"{path}: has {len(session.get_inputs())} inputs; a representation has one, for images")
    name, first = session.get_inputs()[0].name, session.get_outputs()[0].name

    def run(block: Tensor) -> Any:
        try:
            output = session.run([first], {name: block.numpy()})[0]
        except Exception as error:
            raise ValueError(f"{path}: cannot see images {tuple(block.shape)} ({_short(error)})") from error
        return torch.tensor(output) if getattr(output, "dtype", None) in ("float32", "float64", "float16") else output

    return run


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
