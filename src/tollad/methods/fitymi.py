"""FITYMI and related methods: features of a pre-trained network, fine-tuned to tell images from fakes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tollad.method.terms import latent_l2, latent_squared_l2
from tollad.methods import fakes
from tollad.methods.base import Watched
from tollad.methods.classical import SquaredDistances
from tollad.methods.layers import build
from tollad.methods.neural import Neural, Phase, effective_rank
from tollad.methods.trunks import BACKBONES, frozen_outputs, trunk
from tollad.training.adam import Adam

_TrainedOn: TypeAlias = Literal["fakes", "centre"]
_JudgedBy: TypeAlias = Literal["neighbours", "head"]
_Rows: TypeAlias = NDArray[np.float64]
_NEIGHBOURS = 2
_ADAPTER = 128
# Number of images whose features, and of rows whose distances, are held at once.
_CHUNK = 512


class _Networks(nn.Module):
    """The learnt layers: the last blocks of the backbone or a residual adapter behind it, and the head."""

    def __init__(self, dim: int, has_adapter: bool) -> None:
        super().__init__()
        self.adapter = (
            nn.Sequential(nn.Linear(dim, _ADAPTER), nn.ReLU(), nn.Linear(_ADAPTER, dim)) if has_adapter else None
        )
        self.head = nn.Linear(dim, 2)
        self.tail: nn.Module = nn.Identity()

    def forward(self, h: Tensor) -> Tensor:
        """Return features, (B, dim), from the output of the frozen part."""
        u = nn.functional.normalize(self.tail(h), dim=1)
        return u if self.adapter is None else u + self.adapter(u)


@dataclass(kw_only=True, eq=False)
class FITYMI(Neural):
    """Fake It Till You Make It of Mirzaei et al., ICLR 2023, with other fakes and another backbone.

    A pre-trained network with features f and a linear head learns to tell normal images from fakes of them by the cross
    entropy. The score is the sum of the squared distances of f to its two nearest among the training images. `collapse`
    is the weight of Toll's addition to the loss: the mean of ``||f - mu||_2`` over the normal images of a batch, with
    mu their mean, through which no gradient flows.

    With ``task="centre"`` it is PANDA (Reiss et al., CVPR 2021) in its simplest form: no fakes and no head; the loss is
    ``||f - c||^2``, c the mean of the features before the first step. With ``judge="head"`` it is a classifier: the
    score is the log-odds of a fake.

    NOTE[DIFF] As fakes, the authors take images of a diffusion model trained on the normal class, which are not public.
    Here, fakes are made of the normal images, see `tollad.methods.fakes`. So it is another method, with other numbers.

    NOTE[DIFF] The default backbone is EfficientNet-Lite2, not the authors' ViT-B/16. Its features are divided by their
    length; without that, direction and size are mixed. All of the backbone is frozen, and a residual adapter, which
    begins at 0, is trained behind it; or its last `trained_blocks` are trained, without an adapter. The optimiser is
    Adam, and there are no crops, flips and dropout, so that the frozen part sees each image once; the authors use
    gradient descent with a decay of 5e-5, and all three. They also train the embeddings before the frozen blocks.

    Parameters
    ----------
    backbone : {"efficientnet_lite2", "random"} or text
        The first needs the extra `vision`. The second is not pre-trained, for comparison. Any other text is the folder
        of a vision transformer (extra `vit`), see `tollad.methods.vit.load`: with ViT-B/16 it is the authors' backbone.
    trained_blocks : int >= 0
        Number of last blocks that are trained.
    side : int
        Side in pixels to which images are enlarged.
    n_fit : int, optional
        Number of training images, drawn at random; by default all.
    task : {"fakes", "centre"}
    judge : {"neighbours", "head"}
    kinds : tuple of str
        Kinds of fakes, of `tollad.methods.fakes.KINDS`, in equal parts.
    collapse : float >= 0
    epochs, batch_size : int
    learning_rate : float

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).integers(0, 256, (8, 3, 16, 16))
    >>> FITYMI(backbone="random", side=16, epochs=1, batch_size=8).fit(X).anomaly_score(X).shape
    (8,)
    """

    scale: str = "unit"
    backbone: str = "efficientnet_lite2"
    trained_blocks: int = 0
    side: int = 224
    n_fit: int | None = None
    task: _TrainedOn = "fakes"
    judge: _JudgedBy = "neighbours"
    kinds: tuple[str, ...] = fakes.KINDS
    collapse: float = 0.0
    epochs: int = 30
    batch_size: int = 16
    learning_rate: float = 1e-3

    title: ClassVar[str] = "FITYMI"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.backbone not in BACKBONES and not os.path.isdir(self.backbone):
            raise ValueError(
                f"backbone must be {' or '.join(BACKBONES)}, or the folder of a vision transformer, "
                f"not {self.backbone!r}"
            )
        fakes.check(self.kinds)
        if self.judge == "head" and self.task != "fakes":
            raise ValueError("judge='head' needs task='fakes': without fakes no head is trained")

    def _build(self, shape: tuple[int, ...]) -> nn.Module:
        behind = trunk(self.backbone, self.trained_blocks)
        net = cast(_Networks, build(lambda: _Networks(behind.dim, not self.trained_blocks), self.seed))
        if net.adapter is not None:
            *_, last = net.adapter.parameters()
            nn.init.zeros_(last)
            nn.init.zeros_(cast(nn.Linear, net.adapter[-1]).weight)
        net.tail = behind.tail
        return net

    @property
    def _parts(self) -> _Networks:
        return cast(_Networks, self._net)

    def _fit(self, rows: _Rows, watched: Watched) -> None:
        if rows.ndim != 4 or rows.shape[1] not in (1, 3):
            raise ValueError(f"{self.title} takes images of 1 or 3 channels, not rows of shape {rows.shape[1:]}")
        if len(rows) < _NEIGHBOURS:
            raise ValueError(f"{self.title} needs {_NEIGHBOURS} training images at least")
        if self.n_fit is not None and self.n_fit < len(rows):
            chosen = np.random.default_rng(self.seed).choice(len(rows), self.n_fit, replace=False)
            rows = rows[np.sort(chosen)]
        seen = [_marked(self._frozen(rows), 0)]
        if self.task == "fakes":
            seen.append(_marked(self._frozen(fakes.make(rows, self.kinds, self.seed)), 1))
        super()._fit(np.concatenate(seen), watched)

    def _frozen(self, images: _Rows) -> NDArray[np.float32]:
        return frozen_outputs(self.backbone, self.trained_blocks, self.side, images)

    def _phases(self, rows: Tensor) -> Sequence[Phase]:
        own = self._parts
        trained = [*own.tail.parameters(), *(own.adapter.parameters() if own.adapter is not None else ())]
        adam = Adam([*trained, *own.head.parameters()], self.learning_rate)
        centre = self._features(rows[~_is_fake(rows)]).mean(0)

        def update(x: Tensor) -> Tensor:
            fake = _is_fake(x)
            f = own(_unmarked(x))
            if self.task == "fakes":
                loss = nn.functional.cross_entropy(own.head(f), fake.long())
            else:
                loss = latent_squared_l2(f - centre).mean()
            if self.collapse:
                loss = loss + self.collapse * spread(f[~fake])
            adam.minimise(loss)
            return loss

        return [Phase("the training", self.epochs, self.batch_size, update, {"adam": adam})]

    def _finish(self, rows: Tensor) -> None:
        self._bank = self._features(rows[~_is_fake(rows)]).double().numpy()

    @torch.no_grad()
    def _features(self, marked: Tensor) -> Tensor:
        self._net.eval()
        return torch.cat([self._parts(_unmarked(block)) for block in marked.split(_CHUNK)])

    def _anomaly(self, x: Tensor) -> Tensor:
        f = self._parts(x)
        if self.judge == "neighbours":
            return f
        normal, fake = self._parts.head(f).unbind(1)
        return cast(Tensor, fake - normal)

    def _score(self, rows: _Rows) -> _Rows:
        # Feature maps of all images would fill the memory; features do not.
        size = _CHUNK if self.trained_blocks else len(rows)
        seen = (self._frozen(rows[start : start + size]).astype(np.float64) for start in range(0, len(rows), size))
        found = np.concatenate([super(FITYMI, self)._score(part) for part in seen])
        return found if self.judge == "head" else neighbours(found, self._bank)

    def _fitted(self) -> dict[str, NDArray[Any]]:
        return {**{f"net.{name}": value for name, value in super()._fitted().items()}, "bank": self._bank}

    def _restore(self, fitted: Mapping[str, NDArray[Any]]) -> None:
        super()._restore({name[4:]: value for name, value in fitted.items() if name.startswith("net.")})
        self._bank = np.array(fitted["bank"])

    def _diagnose(self, rows: _Rows) -> dict[str, float]:
        """Return the effective rank of the features of the training images, and their mean distance to their mean."""
        f = torch.from_numpy(self._bank)
        return {"rank": effective_rank(f), "mean_distance": float(latent_l2(f - f.mean(0)).mean())}


def spread(f: Tensor) -> Tensor:
    """Return the mean of ``||f_i - mu||_2`` over features (n, dim), with mu their mean as a constant; 0 for n = 0 or 1.

    This is our reading of the paper's one sentence on the addition to FITYMI: the normal images of a batch collapse
    onto their mean.
    """
    return latent_l2(f - f.detach().mean(0)).sum() / max(len(f), 1)


def neighbours(features: _Rows, bank: _Rows) -> _Rows:
    """Return the sum of the squared distances of features (n, dim) to the nearest two of the bank, (n,)."""
    distances, found = SquaredDistances(bank), []
    for start in range(0, len(features), _CHUNK):
        squared = distances(features[start : start + _CHUNK])
        found.append(np.partition(squared, _NEIGHBOURS - 1, axis=1)[:, :_NEIGHBOURS].sum(1))
    return np.concatenate(found)


def _marked(seen: NDArray[np.float32], mark: int) -> _Rows:
    """Append a channel that says whether an image is a fake."""
    return np.concatenate([seen, np.full_like(seen[:, :1], mark)], 1).astype(np.float64)


def _is_fake(marked: Tensor) -> Tensor:
    return marked[:, -1].flatten(1).amax(1) > 0 if marked.ndim > 2 else marked[:, -1] > 0


def _unmarked(marked: Tensor) -> Tensor:
    return marked[:, :-1]
