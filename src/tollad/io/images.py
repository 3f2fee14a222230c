"""Images a user has, a folder of them or an IDX file, as streams of arrays.

A folder is treated as a table is: an image is a row, and where it lies gives the columns `file` and `folder`. At first
only the beginnings of the files are read, so that what does not fit is found before any work is done. The pixels are
read when they are asked for, so a folder may be larger than memory. Pillow, the extra `images`, is imported when the
first file is opened.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from tollad.io import idx

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")

# An image of more pixels is made smaller before it is turned into floats.
_MANY_PIXELS = 1 << 22

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".pgm", ".ppm")
# Nothing else may open a file: some of Pillow's readers start other programs.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "PPM")
_GREY, _GREY_16 = ("1", "L", "LA"), ("I", "I;16", "I;16B", "I;16L")
_COLOUR = ("P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
_LEFT_BY_SYSTEMS = ("thumbs.db", "desktop.ini")
_IDX = (".idx", "-ubyte")
# Values of EXIF's orientation, and the members of `PIL.Image.Transpose` that turn the image upright.
_ORIENTATION = 274
_UPRIGHT = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
_ON_ITS_SIDE = (5, 6, 7, 8)


@dataclass(frozen=True)
class ImageSource:
    """Images of one shape, in order; made by `open_images`.

    Attributes
    ----------
    path : str
        The folder or file, as messages name it.
    n_images : int
    shape : (int, int, int)
        Channels (1 = grey; 3 = red, green, blue), height and width of each image.
    columns : mapping of str to sequence of str
        What is known of each image besides its pixels. Of a folder: `file`, the path within it, and `folder`, the
        sub-folder of the first level, or "." for images that lie in none. Of an IDX file: `label`, if the file of the
        labels lies beside it.
    """

    path: str
    n_images: int
    shape: tuple[int, int, int]
    columns: Mapping[str, Sequence[str]]
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

    def blocks(self, size: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Read all images, at most `size` >= 1 at a time: number of the first, and the images as `take` gives them."""
        for start in range(0, self.n_images, size):
            yield start, self.take(range(start, min(start + size, self.n_images)))


def is_images(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is one for `open_images`: an existing folder, or a name as MNIST's IDX files have them."""
    name = os.fspath(path)
    return os.path.isdir(name) or name.lower().removesuffix(".gz").endswith(_IDX)


def open_images(
    path: str | os.PathLike[str], *, size: tuple[int, int] | None = None, grey: bool = False
) -> ImageSource:
    """Open a folder of images, or an IDX file such as MNIST's ``train-images-idx3-ubyte.gz``.

    A folder is searched with its sub-folders, and its images are in the order of their paths. They are PNG, JPEG, WebP,
    BMP, GIF, PGM or PPM. Links are followed. Hidden files are passed over; any other file is an error, and so is a link
    to a folder that it lies in. Pixels are divided by the largest value that the file can hold, 255 or 65535 (16-bit
    grey; of 16-bit colour the upper 8 bits count). The orientation that a camera noted is honoured, a palette is
    applied, and what is transparent is shown on white.

    Parameters
    ----------
    path : path-like
    size : (int, int), optional
        Height and width in pixels to resize each image to, whatever its proportions: linearly, a smaller image being
        the weighted mean of all the old pixels that a new one covers, so that fine texture does not turn into patterns.
        By default all images have to be of one size.
    grey : bool, default False
        Whether to turn colours into their brightness (ITU-R 601). By default all images have to be grey, or all in
        colour.

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
    name = os.fspath(path)
    if os.path.isdir(name):
        return _open_folder(name, size, grey)
    if not os.path.exists(name):
        raise FileNotFoundError(f"{name}: there is no such file or folder")
    return _open_idx(name, size)


class _Look(NamedTuple):
    """What the beginning of a file says of its image, upright."""

    mode: str
    in_colour: bool
    format: str | None
    height: int
    width: int
    n_frames: int


def _open_folder(path: str, size: tuple[int, int] | None, grey: bool) -> ImageSource:
    import_pillow()
    files = _find(path)
    paths = [os.path.join(path, file) for file in files]
    looks = [_look(file) for file in paths]
    colourful = [look.in_colour and not grey for look in looks]
    if len(set(colourful)) > 1:
        raise ValueError(
            f"{path}: holds grey images ({files[colourful.index(False)]}) and colour images "
            f"({files[colourful.index(True)]}); convert them, or turn all into grey ones with grey=True"
        )
    sizes = [(look.height, look.width) for look in looks] if size is None else [size]
    for file, its_size in zip(files, sizes, strict=False):
        if its_size != sizes[0]:
            raise ValueError(
                f"{path}: {files[0]} is {_sized(sizes[0])} pixels and {file} is {_sized(its_size)} (height x width); "
                "resize all with size=(height, width)"
            )
    shape = (3 if colourful[0] else 1, *sizes[0])

    def read(row: int) -> NDArray[np.float32]:
        pixels = _using(paths[row], lambda image: _pixels(_reduced(image, size), in_colour=colourful[0]))
        return pixels if size is None else _resized(pixels, size)

    folders = [file.partition("/")[0] if "/" in file else "." for file in files]
    return ImageSource(path, len(files), shape, {"file": files, "folder": folders}, read)


def _open_idx(path: str, size: tuple[int, int] | None) -> ImageSource:
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
        pixels = _scaled(images[row : row + 1], 255)
        return pixels if size is None else _resized(pixels, size)

    return ImageSource(path, len(images), (1, *(size or images.shape[1:])), columns, read)


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
        if not file.lower().endswith(ENDINGS):
            raise ValueError(
                f"{os.path.join(path, file)}: is no image, by its ending (known ones are {', '.join(ENDINGS)}); "
                "convert it, or move it out of the folder"
            )
    if not files:
        raise ValueError(
            f"{path}: is a folder without images; give one with {', '.join(ENDINGS)} files in it, or a file"
        )
    return files


def _check_no_loop(root: str, folder: Path) -> None:
    """Raise ValueError for a link that leads back to a folder on the way to it, so that there is no end to the way."""
    way = Path(os.path.realpath(root), os.path.relpath(folder, root))
    if folder.is_symlink() and any(folder.samefile(above) for above in way.parents):
        raise ValueError(f"{folder}: is a link to a folder that it lies in; remove the link")


def _raise(error: OSError) -> None:
    raise error


def _look(path: str) -> _Look:
    """Return what the beginning of a file says, after checking that it is an image that can be read right."""

    def look(image: Image) -> _Look:
        width, height = image.size
        if _orientation(image) in _ON_ITS_SIDE:
            width, height = height, width
        return _Look(image.mode, _in_colour(image), image.format, height, width, getattr(image, "n_frames", 1))

    seen = _using(path, look)
    # Phones add depth maps and previews to a JPEG, which is then called MPO; the first image is the photo.
    if seen.n_frames > 1 and seen.format != "MPO":
        raise ValueError(f"{path}: is animated ({seen.n_frames} frames); save the frames as images of their own")
    if seen.mode not in (*_GREY, *_GREY_16, *_COLOUR):
        raise ValueError(f"{path}: holds pixels of an unknown kind ({seen.mode}); convert it to an 8- or 16-bit PNG")
    return seen


def _using(path: str, use: Callable[[Image], T]) -> T:
    """Return what `use` makes of an image file; whatever is wrong with the file is one sentence."""
    pillow = import_pillow()
    try:
        with pillow.open(path, formats=_FORMATS) as image:
            return use(image)
    except pillow.UnidentifiedImageError:
        raise ValueError(
            f"{path}: is no image, though its name says so, or its beginning is damaged; replace or remove it"
        ) from None
    except pillow.DecompressionBombError:
        raise ValueError(f"{path}: has too many pixels to be read safely; cut it into tiles") from None
    # Damaged content makes the decoders of Pillow raise nearly anything.
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, struct.error, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(f"{path}: cannot be read ({error.strerror})") from error
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: is damaged or cut short ({reason}); replace or remove it") from error


def _in_colour(image: Image) -> bool:
    if image.mode != "P" or image.palette is None:
        return image.mode in _COLOUR
    # Not its getpalette, which decodes the pixels. A fourth byte of an entry is filling.
    step = len(image.palette.rawmode or image.palette.mode)
    entries = np.frombuffer(bytes(image.palette.palette), np.uint8)
    entries = entries[: len(entries) // step * step].reshape(-1, step)[:, :3]
    return bool((entries != entries[:, :1]).any())


def _orientation(image: Image) -> int:
    # Pillow looks for a PNG's EXIF data behind the pixels, too, and so decodes them; no camera puts it there.
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    return int(image.getexif().get(_ORIENTATION, 1))


def _reduced(image: Image, size: tuple[int, int] | None) -> Image:
    """Return a very large image that is to be resized, no larger than needed: as floats it takes four times as much.

    It stays at least twice as large as it is to be. All others are left as they are: whole grey levels round.
    """
    if size is None or image.width * image.height < _MANY_PIXELS:
        return image
    height, width = size if _orientation(image) not in _ON_ITS_SIDE else size[::-1]
    if min(image.width // width, image.height // height) >= 4 and image.format == "JPEG":
        image.draft(None, (2 * width, 2 * height))  # the decoder skips what is not needed
    factor = min(image.width // width, image.height // height) // 2
    if factor < 2:
        return image
    orientation = image.getexif().get(_ORIENTATION, 1)
    if image.mode in ("I;16", "I;16B", "I;16L"):
        image = image.convert("I")
    elif image.mode in ("1", "P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB" if _in_colour(image) else "L")
    small = image.reduce(factor)
    small.getexif()[_ORIENTATION] = orientation
    return small


def _pixels(image: Image, *, in_colour: bool) -> NDArray[np.float32]:
    """Return an image, upright, from 0 to 1: (3, H, W) in colour, else (1, H, W)."""
    pillow = import_pillow()
    way = _UPRIGHT.get(_orientation(image))
    image = image if way is None else image.transpose(pillow.Transpose[way])
    if image.mode in _GREY_16:
        return _scaled(np.asarray(image)[None], 65535)
    if image.has_transparency_data:
        white = pillow.new("RGBA", image.size, "white")
        image = pillow.alpha_composite(white, image.convert("RGBA"))
    values = np.asarray(image.convert("RGB" if in_colour else "L"))
    return _scaled(values.transpose(2, 0, 1) if in_colour else values[None], 255)


def _scaled(values: NDArray[Any], top: int) -> NDArray[np.float32]:
    return np.divide(values, top, dtype=np.float32)


def _resized(channels: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return channels, (C, H, W), as (C, *size)."""
    pillow = import_pillow()
    height, width = size
    planes = (pillow.fromarray(np.ascontiguousarray(channel)) for channel in channels)
    # Linear, since a filter with negative weights would leave the range of 0 to 1 at edges.
    return np.stack([np.asarray(plane.resize((width, height), pillow.Resampling.BILINEAR)) for plane in planes])


def _sized(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def import_pillow() -> Any:
    """Return the module `PIL.Image`; ImportError says how to install it."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("folders of images need Pillow; install it with: pip install 'tollad[images]'") from error
    return Image
