"""Requests that are answered one by one: a series with its events, images with their maps."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TypeAlias

import numpy as np

from tollad.detector.results import expected_by
from tollad.images.detector import ImageDetector
from tollad.io.images import open_images
from tollad.io.pictures import Shaping
from tollad.series.detector import SeriesDetector
from tollad.series.scoring import EventLog, score_series
from tollad.serve.answers import answers_of_scores
from tollad.serve.bodies import FILES, FORM, written
from tollad.serve.image_engines import MAP, ImageEngine, image_engine_of
from tollad.serve.limits import RefusedError

IMAGES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/bmp": ".bmp", "image/tiff": ".tif"}
"""The content types of images, and the endings of their files."""


class SeriesAnswers:
    """Answers for a model of series: a request is one file of time steps.

    Parameters
    ----------
    detector : SeriesDetector
    """

    kind = "series"
    types = tuple(FILES)

    def __init__(self, detector: SeriesDetector) -> None:
        self.detector = detector

    def columns(self) -> list[dict[str, str]]:
        """Return the columns of a file: time stamps and groups, if any, and then the channels."""
        model = self.detector.model_
        others = {"time": model.clock.column, "group": model.group}
        named = [{"name": name, "kind": kind} for kind, name in others.items() if name is not None]
        return [*named, *({"name": name, "kind": "number"} for name in model.columns)]

    def of_files(self, files: Sequence[tuple[str, bytes]], most: int, n_reasons: int) -> dict[str, Any]:
        """Return the answer for each time step, and the events; with reasons in words if any are wanted.

        Raises
        ------
        ValueError
            For a file that cannot be read, has other columns, or is shorter than a window.
        RefusedError
            For more than `most` time steps.
        """
        log, blocks, n_time_steps = EventLog(n_reasons), [], 0
        ((content_type, body),) = files
        name = f"body{FILES[content_type]}"
        with written({name: body}) as folder, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for block in score_series(self.detector.model_, os.path.join(folder, name), events=log):
                blocks.append(block)
                n_time_steps += len(block.scores)
                if n_time_steps > most:
                    raise RefusedError(413, f"the series has more than {most:,} time steps; send fewer at once")
        scores, alarms = (np.concatenate([getattr(block, name) for block in blocks]) for name in ("scores", "alarms"))
        found: dict[str, Any] = dict(answers_of_scores(self.detector, scores, alarms))
        if any(block.values for block in blocks):
            found["time"] = [value for block in blocks for value in block.values]
        found["events"] = [asdict(event) for event in log.events]
        return found if not caught else {**found, "warnings": [str(one.message) for one in caught]}


class ImageAnswers:
    """Answers for a model of images: a request is one file of an image, or a form of several.

    Attributes
    ----------
    detector : ImageDetector
    engine : ImageEngine
    """

    kind = "images"
    types = (*IMAGES, FORM)

    def __init__(self, detector: ImageDetector) -> None:
        self.detector = detector
        self.engine: ImageEngine = image_engine_of(detector)

    def columns(self) -> list[dict[str, str]]:
        """Return the columns of a file: none."""
        return []

    def of_files(self, files: Sequence[tuple[str, bytes]], most: int, n_reasons: int) -> dict[str, Any]:
        """Return the answer for each image, after bringing it to the size of the fit.

        The maps, (n, H, W), are added if reasons are wanted and the model has maps.

        Raises
        ------
        ValueError
            For a file that is no image, is damaged, or differs in kind from those of the fit.
        RefusedError
            For a file of another type, or if the package that reads images is not installed.
        """
        channels, *size = self.detector.input_shape_
        shaping = expected_by(self.detector).images
        if shaping is None:  # the fit was on arrays
            shaping = Shaping((size[0], size[1]), grey=channels == 1, colour=channels == 3)
        if any(content_type not in IMAGES for content_type, _ in files):
            raise RefusedError(415, f"the content type of each file must be one of {', '.join(IMAGES)}")
        names = ["body" if len(files) == 1 else f"file {number:06}" for number in range(1, len(files) + 1)]
        endings = [IMAGES[content_type] for content_type, _ in files]
        bodies = {f"{name}{end}": body for name, end, (_, body) in zip(names, endings, files, strict=True)}
        with written(bodies) as folder:
            try:
                images = open_images(folder, **vars(shaping)).take(range(len(files)))
            except ImportError as error:
                raise RefusedError(501, str(error)) from None
        found: dict[str, Any] = self.engine.answers(images, maps=n_reasons > 0)
        return found if MAP not in found else {**found, MAP: found[MAP].round(4)}


OneFile: TypeAlias = SeriesAnswers | ImageAnswers
