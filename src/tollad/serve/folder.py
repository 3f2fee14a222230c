"""A folder with a page that scores without a server. It holds the graph of a model, and onnxruntime-web to run it."""

from __future__ import annotations

import codecs
import json
import os
import re
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tollad.io.pictures import Shaping
from tollad.io.source import Source
from tollad.series.events import APART, KEPT, KEPT_SO_FAR
from tollad.serve.page import folder_page
from tollad.serve.runtime import TIE, Runtime
from tollad.tables.schema import MAX_LEVELS, MISSING, Column

VERSION = "1.30.0"
"""The version of onnxruntime-web that the page is tested with."""

_SCRIPT = "ort.wasm.min.js"
_PARTS = (_SCRIPT, "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
_IMAGES = ["image/png", "image/jpeg", "image/webp", "image/bmp"]
_DATE_CODES = "YymdHIMSfpBbAa%"
# Python's names of encodings, and the names that browsers have for them.
_ENCODINGS = {
    **{f"cp125{n}": f"windows-125{n}" for n in range(9)},
    **{f"iso8859-{n}": f"iso-8859-{n}" for n in (*range(2, 9), 10, 13, 14, 15, 16)},
    **{name: name for name in ("utf-8", "koi8-r", "koi8-u", "gbk", "gb18030", "big5", "shift_jis")},
    "utf-16": "utf-16le",
    "utf-16-le": "utf-16le",
    "utf-16-be": "utf-16be",
    "iso8859-1": "windows-1252",
    "euc_jp": "euc-jp",
    "euc_kr": "euc-kr",
}


def write_folder(
    model: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    web: str | os.PathLike[str],
    *,
    name: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write a page that scores files by an ONNX file, for any server of static files.

    Parameters
    ----------
    model : path
        An ONNX file that `tollad` wrote.
    folder : path
        The folder is made; its parent must exist.
    web : path
        The folder of the npm package onnxruntime-web.
    name : str, optional
        Name of the model on the page; by default that of the file.
    overwrite : bool, default False
        Whether the folder may exist. Other files in it stay.

    Raises
    ------
    ValueError
        If the file is no such graph, or the page cannot read the files of such a model. Nothing is written then.
    FileNotFoundError
        If a part of onnxruntime-web is missing.
    OSError
        If the folder cannot be written, or exists and may not be replaced.
    """
    target, source = Path(folder), _found(Path(web))
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} already exists; replace it with overwrite=True, or choose another name")
    if target.exists() and not target.is_dir():
        raise NotADirectoryError(f"cannot write {target}: it is no folder; choose another name")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot write {target}: there is no folder {target.parent}; create it first")
    document = folder_page(described(Runtime.load(model), name or Path(model).stem), _SCRIPT)
    # Written beside the folder and then renamed, so that it appears as a whole.
    with tempfile.TemporaryDirectory(prefix=".tollad-", dir=target.parent) as hidden:
        made = Path(hidden, "page")
        made.mkdir()
        for part in _PARTS:
            shutil.copyfile(source / part, made / part)
        made.joinpath("model.onnx").write_bytes(_always_asked(Path(model).read_bytes()))
        made.joinpath("index.html").write_bytes(document)
        if not target.exists():
            os.replace(made, target)
            return
        for part in (*_PARTS, "model.onnx", "index.html"):
            os.replace(made / part, target / part)


def described(runtime: Runtime, name: str) -> dict[str, Any]:
    """Return the JSON values with which a page reads files as the command line does.

    Raises
    ------
    ValueError
        For models that the page cannot serve: arrays, several series in a file, gaps in time, and encodings and
        formats of dates that browsers lack.
    """
    metadata = runtime.metadata
    common = {"name": name, "kind": runtime.kind, "threshold": runtime.threshold, "tie": TIE, "types": []}
    source = runtime.source_ or Source("", 0, 0)
    if runtime.kind == "images":
        channels, *size = runtime.input_shape_
        # The fit was on arrays, so images are brought to their size.
        shaping = Shaping((size[0], size[1]), grey=channels == 1, colour=channels == 3)
        shaping = shaping if source.images is None else Shaping.from_json(source.images)
        shown = {"types": _IMAGES, "input_shape": [channels, *size], "images": asdict(shaping), "columns": []}
        return {**common, **shown}
    if runtime.kind == "arrays":
        raise ValueError("a model of arrays cannot be shown without a server, for browsers read no array files")
    ignored = {*source.drop, source.label, metadata.get("time")} - {None}
    if metadata.get("group") is not None:
        raise ValueError("a model of several series in one file cannot be shown without a server; serve the model")
    if metadata.get("gaps") in ("split", "interpolate"):
        raise ValueError("a model that bridges gaps in a series cannot be shown without a server; serve the model")
    columns = runtime.columns or tuple(
        Column(column, "number", words=column in source.words) for column in runtime.names
    )
    dialect = source.dialect
    for date_format in (dialect.get("date_format"), *dialect.get("dates", {}).values()):
        _check_date_format(date_format)
    return {
        **common,
        "columns": [
            {**column.to_json(), "input": metadata.get("inputs", {}).get(column.name, column.name)}
            for column in columns
        ],
        "flagged": metadata.get("flagged"),
        "usual": metadata.get("usual"),
        "most_levels": MAX_LEVELS,
        "mixed": runtime.columns is not None,
        "ignored": sorted(ignored),
        "header": source.header,
        "dialect": {key: value for key, value in dialect.items() if key != "encoding"},
        "encoding": _encoding(dialect.get("encoding")),
        "missing": list(MISSING),
        **{key: metadata[key] for key in ("window", "time", "trims", "causal") if key in metadata},
        "kept": KEPT_SO_FAR if metadata.get("causal") else KEPT,
        "apart": APART,
    }


def _always_asked(graph: bytes) -> bytes:
    """Return a graph whose input ``explained``, if any, must be given: onnxruntime-web takes no optional inputs."""
    try:
        import onnx
    except ImportError as error:
        raise ImportError("a page needs the package onnx: pip install 'tollad[onnx]'") from error
    proto = onnx.load_from_string(graph)
    given = [constant for constant in proto.graph.initializer if constant.name != "explained"]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(given)
    data: bytes = proto.SerializeToString()
    return data


def _check_date_format(date_format: str | None) -> None:
    unknown = [part for part in re.findall("%(.)", date_format or "") if part not in _DATE_CODES]
    if unknown:
        raise ValueError(
            f"dates written as {date_format!r} cannot be read by a page without a server, for %{unknown[0]}; "
            "serve the model"
        )


def _encoding(name: str | None) -> str | None:
    if name is None:
        return None
    found = _ENCODINGS.get(codecs.lookup(name).name)
    if found is None:
        raise ValueError(f"text in the encoding {name!r} cannot be read by a page without a server; serve the model")
    return found


def _found(web: Path) -> Path:
    """Return the folder with the parts of onnxruntime-web."""
    dist = web / "dist"
    lacking = [part for part in _PARTS if not (dist / part).is_file()]
    if not lacking:
        return dist
    package = web / "package.json"
    version = json.loads(package.read_text(encoding="utf-8")).get("version") if package.is_file() else None
    if version is not None:
        raise FileNotFoundError(f"{web} holds version {version} without {lacking[0]}; install version {VERSION}")
    raise FileNotFoundError(
        f"{web} holds no onnxruntime-web, by which the page computes; get it by: npm install onnxruntime-web@{VERSION}"
    )
