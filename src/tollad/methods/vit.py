"""Vision transformers by the package transformers: read a folder of weights as blocks for `tollad.methods.trunks`."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from torch import Tensor, nn


class Blocks(NamedTuple):
    """The parts of a vision transformer in the order in which an image passes through them.

    Attributes
    ----------
    first : nn.Module
        (B, 3, side, side) from 0 to 1 -> (B, tokens, dim).
    blocks : list of nn.Module
        Tokens to tokens.
    last : list of nn.Module
        Tokens to (B, dim), the class token.
    dim, side : int
    """

    first: nn.Module
    blocks: list[nn.Module]
    last: list[nn.Module]
    dim: int
    side: int


class _Shown(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        """Return values from -1 to 1, the inputs of ViT."""
        return 2 * x - 1


class _ClassToken(nn.Module):
    def forward(self, tokens: Tensor) -> Tensor:
        """Return the first token, which represents the image: (B, dim)."""
        return tokens[:, 0]


def load(folder: str | os.PathLike[str]) -> Blocks:
    """Read a vision transformer that `transformers` has saved as safetensors, such as ViT-B/16.

    Parameters
    ----------
    folder : path
        With ``config.json`` and ``model.safetensors``: written by ``ViTModel.save_pretrained``, or a download of
        ``google/vit-base-patch16-224-in21k``. Nothing is fetched, and no pickle is read. Dropout is left out.

    Raises
    ------
    ImportError
        Without the extra `vit`.
    ValueError
        If the folder holds no such network.
    """
    try:
        from transformers import ViTConfig, ViTModel
        from transformers.utils import logging
    except ImportError as error:
        raise ImportError(
            "a vision transformer needs transformers; install it with: pip install 'tollad[vit]'"
        ) from error
    path = os.fspath(folder)
    if not os.path.isfile(os.path.join(path, "config.json")):
        raise ValueError(f"{path}: is no folder with the config.json and model.safetensors of a vision transformer")
    showed = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        config = ViTConfig.from_pretrained(path, local_files_only=True)
        if config.model_type != "vit":
            raise ValueError("of another kind of network")
        # Dropout of transformers would draw from torch's global random state.
        config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
        model: Any = ViTModel.from_pretrained(
            path, config=config, add_pooling_layer=False, local_files_only=True, use_safetensors=True
        )
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        words = " ".join(str(error).split())
        raise ValueError(f"{path}: holds no vision transformer as transformers saves it ({words:.200})") from error
    finally:
        if showed:
            logging.enable_progress_bar()
    model.eval()
    first = nn.Sequential(_Shown(), model.embeddings)
    last = [model.layernorm, _ClassToken()]
    return Blocks(first, list(model.layers), last, config.hidden_size, config.image_size)
