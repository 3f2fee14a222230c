"""One image file: its size and kind, read from its beginning, and its pixels.

Pillow, the extra `images`, is imported when the first file is opened. Each error is one sentence.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, TypeAlias, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")

Aspect: TypeAlias = Literal["stretch", "pad", "crop"]

# An image with more pixels is made smaller before it becomes floats.
_MANY_PIXELS = 1 << 22

ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".pgm", ".ppm"),
    *(".tif", ".tiff", ".avif", ".jp2", ".j2k"),
)
# Only these readers of Pillow may open a file: some others start other programs.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "PPM", "TIFF", "AVIF", "JPEG2000")

# Damaged content makes the decoders of Pillow raise nearly anything.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, RuntimeError, struct.error, zlib.error)
_GREY, _GREY_16 = ("1", "L", "LA"), ("I", "I;16", "I;16B", "I;16L")
_FLOAT = "F"
_COLOUR = ("P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
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
class Shaping:
    """How images are brought into one form, at a fit and later.

    Attributes
    ----------
    size, grey, colour, aspect
        As in `tollad.io.images.open_images`.

    Raises
    ------
    ValueError, TypeError
        If they are no such values, or exclude each other.
    """

    size: tuple[int, int] | None = None
    grey: bool = False
    colour: bool = False
    aspect: Aspect = "stretch"

    def __post_init__(self) -> None:
        if not isinstance(self.grey, bool) or not isinstance(self.colour, bool):
            raise TypeError("grey and colour are True or False")
        if self.size is not None and not (len(self.size) == 2 and all(side > 0 for side in self.size)):
            raise ValueError(f"size is height and width, both 1 or more, not {self.size}")
        if self.aspect not in get_args(Aspect):
            raise ValueError(f"aspect must be one of {', '.join(get_args(Aspect))}, not {self.aspect!r}")
        if self.grey and self.colour:
            raise ValueError("images become either grey or colourful; leave out grey=True or colour=True")
        if self.aspect != "stretch" and self.size is None:
            raise ValueError(f"aspect={self.aspect!r} says how images come to a size; give size=(height, width), too")

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Return the shaping from a record of `to_json`. Older records hold size and grey only."""
        size = record["size"]
        return cls(**{**record, "size": None if size is None else (size[0], size[1])})


class OutOfRangeError(Exception):
    """An image holds numbers outside the range of its kind."""


class ImageHeader(NamedTuple):
    """What the beginning of a file says of its image, once upright."""

    mode: str
    in_colour: bool
    format: str | None
    height: int
    width: int
    n_frames: int


def read_header(path: str) -> ImageHeader:
    """Return what the beginning of a file says. ValueError for an image that cannot be read correctly."""

    def read(image: Image) -> ImageHeader:
        width, height = image.size
        if _orientation(image) in _ON_ITS_SIDE:
            width, height = height, width
        return ImageHeader(image.mode, _in_colour(image), image.format, height, width, getattr(image, "n_frames", 1))

    found = using(path, read)
    # Phones add depth maps and previews to a JPEG, which is then called MPO; the first image is the photo.
    if found.n_frames > 1 and found.format == "TIFF":
        raise ValueError(f"{path}: has {found.n_frames} pages; save the pages as images of their own")
    if found.n_frames > 1 and found.format != "MPO":
        raise ValueError(f"{path}: is animated ({found.n_frames} frames); save the frames as images of their own")
    if found.mode not in (*_GREY, *_GREY_16, *_COLOUR, _FLOAT):
        raise ValueError(f"{path}: holds pixels of an unknown kind ({found.mode}); convert it to an 8- or 16-bit PNG")
    return found


def using(path: str, use: Callable[[Image], T]) -> T:
    """Return ``use(image)`` for the image in a file. Any error is a ValueError or OSError of one sentence."""
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
    except OutOfRangeError as error:
        raise ValueError(f"{path}: {error}; scale it, or save it as an 8- or 16-bit PNG") from None
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(f"{path}: cannot be read ({error.strerror})") from error
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: is damaged or cut short ({reason}); replace or remove it") from error


def _in_colour(image: Image) -> bool:
    if image.mode != "P" or image.palette is None:
        return image.mode in _COLOUR
    # Pillow's getpalette would decode the pixels. A fourth byte of an entry is padding.
    step = len(image.palette.rawmode or image.palette.mode)
    entries = np.frombuffer(bytes(image.palette.palette), np.uint8)
    entries = entries[: len(entries) // step * step].reshape(-1, step)[:, :3]
    return bool((entries != entries[:, :1]).any())


def _orientation(image: Image) -> int:
    # Pillow looks for a PNG's EXIF data behind the pixels, too, and so decodes them; no camera puts it there.
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    return int(image.getexif().get(_ORIENTATION, 1))


def reduced(image: Image, size: tuple[int, int] | None) -> Image:
    """Make a very large image smaller if it will be resized: as floats, it would take four times the memory.

    It stays at least twice as large as the final size. Other images stay as they are, since whole grey levels round.
    """
    if size is None or image.width * image.height < _MANY_PIXELS:
        return image
    height, width = size if _orientation(image) not in _ON_ITS_SIDE else size[::-1]
    if min(image.width // width, image.height // height) >= 4 and image.format == "JPEG":
        image.draft(None, (2 * width, 2 * height))  # the decoder skips details that are not needed
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


def pixels_of(image: Image, *, in_colour: bool) -> NDArray[np.float32]:
    """Return an image, upright, from 0 to 1: (3, H, W) in colour, else (1, H, W).

    Raises
    ------
    OutOfRangeError
        If a value is outside the range of the image's kind.
    """
    pillow = import_pillow()
    way = _UPRIGHT.get(_orientation(image))
    image = image if way is None else image.transpose(pillow.Transpose[way])
    if image.mode in _GREY_16 or image.mode == _FLOAT:
        most = 1 if image.mode == _FLOAT else 65535
        values = np.asarray(image)
        if not np.isfinite(values).all():
            raise OutOfRangeError(f"holds values that are no numbers (NaN or infinity), not from 0 to {most}")
        if not (values.min() >= 0 and values.max() <= most):
            raise OutOfRangeError(f"holds values from {values.min():g} to {values.max():g}, not from 0 to {most}")
        return np.repeat(scaled(values[None], most), 3 if in_colour else 1, axis=0)
    if image.has_transparency_data:
        white = pillow.new("RGBA", image.size, "white")
        image = pillow.alpha_composite(white, image.convert("RGBA"))
    values = np.asarray(image.convert("RGB" if in_colour else "L"))
    return scaled(values.transpose(2, 0, 1) if in_colour else values[None], 255)


def scaled(values: NDArray[Any], top: int) -> NDArray[np.float32]:
    return np.divide(values, top, dtype=np.float32)


def resized(
    channels: NDArray[np.float32], size: tuple[int, int], aspect: Aspect, outside: float | None = None
) -> NDArray[np.float32]:
    """Return channels, (C, H, W), as (C, *size): stretched, or filled up or cut on both sides.

    Each channel is filled up with `outside`, or with its mean.
    """
    if aspect == "stretch":
        return _stretched(channels, size)
    old = channels.shape[1:]
    ratios = [new / side for new, side in zip(size, old, strict=True)]
    ratio = min(ratios) if aspect == "pad" else max(ratios)
    inner = [max(1, round(side * ratio)) for side in old]
    small = _stretched(channels, (inner[0], inner[1]))
    if aspect == "crop":
        top, left = ((have - wanted) // 2 for have, wanted in zip(inner, size, strict=True))
        return small[:, top : top + size[0], left : left + size[1]]
    whole = np.empty((len(small), *size), np.float32)
    whole[:] = small.mean((1, 2), keepdims=True) if outside is None else outside
    top, left = ((wanted - have) // 2 for have, wanted in zip(inner, size, strict=True))
    whole[:, top : top + inner[0], left : left + inner[1]] = small
    return whole


def _stretched(channels: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    pillow = import_pillow()
    height, width = size
    planes = (pillow.fromarray(np.ascontiguousarray(channel)) for channel in channels)
    # Linear interpolation: a filter with negative weights would leave the range from 0 to 1 at edges.
    return np.stack([np.asarray(plane.resize((width, height), pillow.Resampling.BILINEAR)) for plane in planes])


def sized(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def import_pillow() -> Any:
    """Return the module `PIL.Image`; ImportError says how to install it."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("folders of images need Pillow; install it with: pip install 'tollad[images]'") from error
    return Image
