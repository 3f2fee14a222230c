"""Folders of images, and IDX files, as streams of arrays.

A folder is treated like a table: an image is a row, and its path gives the columns `file` and `folder`. At first only
the beginning of each file is read, so that images that do not fit are found before any work is done. Pixels are read
when needed, so a folder may be larger than memory. Pillow, the extra `images`, is imported when the first file is
opened.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from tollad.io import idx
from tollad.io.pictures import (
    ENDINGS,
    Aspect,
    ImageHeader,
    Shaping,
    import_pillow,
    pixels_of,
    read_header,
    reduced,
    resized,
    scaled,
    sized,
    using,
)
from tollad.io.skipped import Reject
from tollad.warn import listed, warn

_LEFT_BY_SYSTEMS = ("thumbs.db", "desktop.ini")
_IDX = (".idx", "-ubyte")


@dataclass(frozen=True)
class ImageSource:
    """Images of one shape, in order; made by `open_images`.

    Attributes
    ----------
    path : str
        Name of the folder or file in messages.
    n_images : int
    shape : (int, int, int)
        Channels (1 = grey; 3 = red, green, blue), height and width of each image.
    columns : mapping of str to sequence of str
        Columns besides the pixels. For a folder: `file`, the path within it, and `folder`, the sub-folder of the first
        level, or "." for images directly in the folder. For an IDX file: `label`, if the file of the labels lies beside
        it.
    numbers : ndarray of int64, (n_images,)
        Number of each image among all images, from 0. Images that cannot be read may have been left out.
    """

    path: str
    n_images: int
    shape: tuple[int, int, int]
    columns: Mapping[str, Sequence[str]]
    numbers: NDArray[np.int64]
    _read: Callable[[int], NDArray[np.float32]]

    def __len__(self) -> int:
        return self.n_images

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """Read images by their numbers, from 0.

        Returns
        -------
        ndarray of float32, (n, C, H, W)
            From 0, black, to 1, the brightest value that the file can hold.

        Raises
        ------
        ValueError
            If an image is damaged.
        OSError
            If a file cannot be read.
        """
        images = np.empty((len(rows), *self.shape), np.float32)
        for place, row in enumerate(rows):
            images[place] = self._read(int(row))
        return images

    def take_readable(self, rows: Sequence[int], reject: Reject) -> tuple[list[int], NDArray[np.float32]]:
        """Read images as `take` does, but leave out those that cannot be read.

        Return the read rows and their pixels.
        """
        kept, images = [], []
        for row in rows:
            try:
                images.append(self._read(row))
            except (OSError, ValueError) as error:
                reject(int(self.numbers[row]), None, str(error), self.columns["file"][row])
            else:
                kept.append(row)
        return kept, np.stack(images) if images else np.empty((0, *self.shape), np.float32)

    def blocks(self, size: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Read all images, at most `size` >= 1 at a time. Yield the number of the first, and images as from `take`."""
        for start in range(0, self.n_images, size):
            yield start, self.take(range(start, min(start + size, self.n_images)))


def is_images(path: str | os.PathLike[str]) -> bool:
    """Return whether `open_images` takes a path: an existing folder, or a name like those of MNIST's IDX files."""
    name = os.fspath(path)
    return os.path.isdir(name) or name.lower().removesuffix(".gz").endswith(_IDX)


def open_images(
    path: str | os.PathLike[str],
    *,
    size: tuple[int, int] | None = None,
    grey: bool = False,
    colour: bool = False,
    aspect: Aspect = "stretch",
    reject: Reject | None = None,
) -> ImageSource:
    """Open a folder of images, or an IDX file such as MNIST's ``train-images-idx3-ubyte.gz``.

    A folder is searched with its sub-folders, and its images are in the order of their paths. They are PNG, JPEG, WebP,
    BMP, GIF, PGM, PPM, TIFF (of one page), or, where Pillow was built with them, AVIF or JPEG 2000. Links are followed.
    Hidden files are passed over. So are files with other endings, and a warning counts them. A link to a folder that
    contains the link is an error. Pixels are divided by the largest value that the file can hold, 255 or 65535 (16-bit
    grey; of 16-bit colour the upper 8 bits count). A TIFF of floats must hold values from 0 to 1. The orientation that
    a camera noted is honoured, a palette is applied, and transparent pixels are shown on white.

    Parameters
    ----------
    path : path-like
    size : (int, int), optional
        Height and width in pixels to resize each image to, by linear interpolation. When an image is made smaller, a
        new pixel is the weighted mean of all old pixels that it covers, so that fine texture does not turn into
        patterns. By default all images must have one size.
    grey : bool, default False
        Whether to turn colours into their brightness (ITU-R 601). By default all images must be grey, or all in colour.
    colour : bool, default False
        Whether to take grey images as colour images with three equal channels.
    aspect : {"stretch", "pad", "crop"}, default "stretch"
        Effect of `size` on proportions: "stretch" changes them, "pad" keeps them and fills up both sides with the mean
        of the image, "crop" keeps them and cuts off both sides.
    reject : callable, optional
        Called for each file of a folder that is damaged or no image, with its number, None, the reason, and the file,
        which is then left out. By default the first such file is an error. With `reject`, read by
        `ImageSource.take_readable`.

    Returns
    -------
    ImageSource

    Raises
    ------
    FileNotFoundError
        If there is no such file or folder.
    ValueError
        If there are no images; if a file is no image, is damaged, animated or of an unknown kind; or if images differ
        in size, or some are grey and some in colour. The message names the first such file.
    ImportError
        If Pillow is not installed; an IDX file needs it for `size` only.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for kind in ("bad", "good"):
    ...         pathlib.Path(folder, kind).mkdir()
    ...         Image.new("L", (6, 4), 51).save(pathlib.Path(folder, kind, "1.png"))
    ...     source = open_images(folder)
    ...     pixels = source.take([0, 1])
    >>> source.columns["file"], source.columns["folder"]
    (['bad/1.png', 'good/1.png'], ['bad', 'good'])
    >>> pixels.shape, float(pixels.max())
    ((2, 1, 4, 6), 0.20000000298023224)
    """
    shaping, name = Shaping(size, grey, colour, aspect), os.fspath(path)
    if os.path.isdir(name):
        return _open_folder(name, shaping, reject)
    if not os.path.exists(name):
        raise FileNotFoundError(f"{name}: there is no such file or folder")
    return _open_idx(name, shaping)


def _open_folder(path: str, shaping: Shaping, reject: Reject | None) -> ImageSource:
    import_pillow()
    size, all_files = shaping.size, _find(path)
    headers = _headers(path, all_files, reject)
    files = [all_files[number] for number in headers]
    paths = [os.path.join(path, file) for file in files]
    colourful = [(header.in_colour and not shaping.grey) or shaping.colour for header in headers.values()]
    if len(set(colourful)) > 1:
        raise ValueError(
            f"{path}: holds grey images ({files[colourful.index(False)]}) and colour images "
            f"({files[colourful.index(True)]}); convert them, or turn all into grey ones with grey=True "
            "or into colour ones with colour=True"
        )
    sizes = [(header.height, header.width) for header in headers.values()] if size is None else [size]
    for file, its_size in zip(files, sizes, strict=False):
        if its_size != sizes[0]:
            raise ValueError(
                f"{path}: {files[0]} is {sized(sizes[0])} pixels and {file} is {sized(its_size)} (height x width); "
                "resize all with size=(height, width)"
            )
    shape = (3 if colourful[0] else 1, *sizes[0])

    def read(row: int) -> NDArray[np.float32]:
        pixels = using(paths[row], lambda image: pixels_of(reduced(image, size), in_colour=colourful[0]))
        if size is not None:
            return resized(pixels, size, shaping.aspect)
        if pixels.shape != shape:
            now = sized((pixels.shape[1], pixels.shape[2]))
            raise ValueError(f"{paths[row]}: has changed to {now} pixels while the folder was read; read it again")
        return pixels

    folders = [file.partition("/")[0] if "/" in file else "." for file in files]
    return ImageSource(path, len(files), shape, {"file": files, "folder": folders}, np.array([*headers]), read)


def _headers(path: str, files: Sequence[str], reject: Reject | None) -> dict[int, ImageHeader]:
    """Return what the beginning of each file says, by the file's number, without rejected files."""
    headers = {}
    for number, file in enumerate(files):
        try:
            headers[number] = read_header(os.path.join(path, file))
        except (OSError, ValueError) as error:
            if reject is None:
                raise
            reject(number, None, str(error), file)
    if not headers:
        raise ValueError(f"{path}: none of its {len(files)} images can be read; check that they are images")
    return headers


def _open_idx(path: str, shaping: Shaping) -> ImageSource:
    size = shaping.size
    images = idx.read_idx(path)
    if images.ndim != 3 or not images.size:
        raise ValueError(
            f"{path}: holds an array of shape {images.shape}, and images are (n, height, width); give a file of images"
        )
    folder, name = os.path.split(path)
    beside = os.path.join(folder, name.replace("images", "labels").replace("idx3", "idx1").removesuffix(".gz"))
    found = [file for file in (beside, f"{beside}.gz") if os.path.exists(file) and not os.path.samefile(file, path)]
    columns: dict[str, list[str]] = {}
    if found:
        labels = idx.read_idx(found[0])
        if labels.shape != images.shape[:1]:
            raise ValueError(
                f"{found[0]}: holds labels of shape {labels.shape} for the {len(images)} images of {path}; "
                "put the right file there"
            )
        columns["label"] = [str(label) for label in labels.tolist()]

    def read(row: int) -> NDArray[np.float32]:
        pixels = np.repeat(scaled(images[row : row + 1], 255), n_channels, axis=0)
        return pixels if size is None else resized(pixels, size, shaping.aspect)

    n_channels = 3 if shaping.colour else 1
    shape = (n_channels, *(size or images.shape[1:]))
    return ImageSource(path, len(images), shape, columns, np.arange(len(images)), read)


def _find(path: str) -> list[str]:
    """Return the images of a folder in order, as paths within it with slashes."""
    files: list[str] = []
    for folder, subfolders, names in os.walk(path, onerror=_raise, followlinks=True):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for name in subfolders:
            _check_no_loop(path, Path(folder, name))
        kept = (name for name in names if not name.startswith(".") and name.lower() not in _LEFT_BY_SYSTEMS)
        files += [PurePath(os.path.relpath(os.path.join(folder, name), path)).as_posix() for name in kept]
    files.sort()
    for file in files:
        shown = file.encode(errors="replace").decode()
        if shown != file:
            raise ValueError(f"{path}: the name of {shown} is no valid UTF-8; rename the file")
    images = [file for file in files if file.lower().endswith(ENDINGS)]
    if not images:
        raise ValueError(
            f"{path}: is a folder without images; give one with {', '.join(ENDINGS)} files in it, or a file"
        )
    if others := [file for file in files if not file.lower().endswith(ENDINGS)]:
        passed = "1 file that is no image" if len(others) == 1 else f"{len(others):,} files that are no images"
        warn(f"{path}: {passed}, by the ending, passed over: {listed(others)}")
    return images


def _check_no_loop(root: str, folder: Path) -> None:
    """Raise ValueError for a link to a folder that contains it: following it would never end."""
    way = Path(os.path.realpath(root), os.path.relpath(folder, root))
    if folder.is_symlink() and any(folder.samefile(above) for above in way.parents):
        raise ValueError(f"{folder}: is a link to a folder that it lies in; remove the link")


def _raise(error: OSError) -> None:
    raise error
