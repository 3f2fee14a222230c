"""Networks of timm by name, such as ``timm:resnet18``, with weights that are on this machine. Nothing is downloaded."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor, nn

_PREFIX = "timm:"


def is_timm(name: str) -> bool:
    """Return whether a name is that of a network of timm."""
    return name.startswith(_PREFIX)


def load_timm(name: str) -> nn.Module:
    """Return the network, from images, (b, C, H, W), from 0 to 1, to the maps of its last layer, (b, c, h, w).

    Parameters
    ----------
    name : str
        ``timm:`` and a name in ``timm.list_models(pretrained=True)``, whose weights timm has fetched before.

    Raises
    ------
    ImportError
        If timm is not installed.
    ValueError
        If timm has no such network.
    OSError
        If its weights are not on this machine.
    """
    try:
        timm: Any = importlib.import_module("timm")
        hub: Any = importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise ImportError(f"the representation {name} needs timm; install it with: pip install timm") from error
    model = name.removeprefix(_PREFIX)
    described = timm.models.get_pretrained_cfg(model)
    if described is None or not described.hf_hub_id:
        raise ValueError(f"{name}: timm has no such network with weights; see timm.list_models(pretrained=True)")
    try:
        file = hub.hf_hub_download(described.hf_hub_id, "model.safetensors", local_files_only=True)
    except FileNotFoundError as error:
        raise OSError(
            f"{name}: its weights are not on this machine; fetch them once in Python: "
            f"timm.create_model({model!r}, pretrained=True)"
        ) from error
    network = timm.create_model(
        model, pretrained=True, pretrained_cfg_overlay={"file": file}, num_classes=0, global_pool=""
    )
    return _Shown(network, described.mean, described.std).eval()


class _Shown(nn.Module):
    """A network that sees images in colour, in units of the images that it was trained on."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).reshape(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(3, 1, 1))

    def forward(self, x: Tensor) -> Any:
        return self.network((x.expand(-1, 3, -1, -1) - self.mean) / self.std)
