"""The page of the web service: one document, with its script and style within, that loads nothing else."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources


def page() -> tuple[bytes, dict[str, str]]:
    """Return the document, and headers that let it run its own script only and reach its own server only."""
    folder = resources.files("tollad.serve")
    text, first, second = (
        folder.joinpath(name).read_text(encoding="utf-8") for name in ("page.html", "page.js", "page_whole.js")
    )
    script = f"\n{first}\n{second}"
    text = text.replace("<script></script>", f"<script>{script}</script>")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = {
        "default-src": "'none'",
        "script-src": f"'sha256-{digest}'",
        "style-src": "'unsafe-inline'",
        "img-src": "data: blob:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return text.encode(), {
        "content-security-policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "cache-control": "no-cache",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }
