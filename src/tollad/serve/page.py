"""The page for people, of a server or of a folder: one document that contains its script and style."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

# First the scripts that talk to the model, which differ; then those that show results, which are the same.
_OF_SERVER = ("text.js", "server.js")
_OF_FOLDER = ("text.js", "values.js", "pixels.js", "reasons.js", "graph.js")
_SHOWN = ("whole.js", "page.js")


def page() -> tuple[bytes, dict[str, str]]:
    """Return the document of a server, and headers that allow only its own script and no other server."""
    text, policy = _document(_OF_SERVER)
    return text.encode(), {
        "content-security-policy": f"{policy}; frame-ancestors 'none'",
        "cache-control": "no-cache",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }


def folder_page(known: Mapping[str, Any], runtime: str) -> bytes:
    """Return the document of a folder, which holds the file `runtime` of onnxruntime-web, too.

    Parameters
    ----------
    known : mapping of JSON values
        What the page must know of the model, see `tollad.serve.folder.described`.
    runtime : str
        Name of the script.
    """
    text, policy = _document(_OF_FOLDER, " 'self' 'wasm-unsafe-eval'")
    plain = json.dumps(known, ensure_ascii=False).replace("<", "\\u003c")
    begin = f'<meta http-equiv="content-security-policy" content="{policy}">\n<title>'
    scripts = (
        f'<script type="application/json" id="known">{plain}</script>\n<script src="{runtime}"></script>\n<script>'
    )
    return text.replace("<title>", begin, 1).replace("<script>", scripts, 1).encode()


def _document(names: tuple[str, ...], also: str = "") -> tuple[str, str]:
    """Return the document with these scripts, and its content security policy. `also` adds sources of scripts."""
    folder = resources.files("tollad.serve") / "web"
    parts = [folder.joinpath(name).read_text(encoding="utf-8") for name in (*names, *_SHOWN)]
    script = '\n"use strict";\n' + "\n".join(parts)
    text = folder.joinpath("page.html").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = {
        "default-src": "'none'",
        "script-src": f"'sha256-{digest}'{also}",
        "style-src": "'unsafe-inline'",
        "img-src": "data: blob:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return text.replace("<script></script>", f"<script>{script}</script>"), "; ".join(
        f"{name} {value}" for name, value in policy.items()
    )
