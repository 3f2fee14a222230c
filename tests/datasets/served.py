"""A server of data sets on this machine, and the archives that it offers."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from datasets.written import idx_bytes

from tollad.datasets.files import Content

ONE, TWO = idx_bytes(np.arange(200_000) % 251), b"5,6\n7,8\n" * 100


def content(data):
    return Content(len(data), hashlib.sha256(data).hexdigest())


class Server(ThreadingHTTPServer):
    """Answers from `pages`: bytes, or a function that writes its answer by itself."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages = {}
        self.asked = []
        self.blocked = threading.Event()

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}/{path}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path[1:])
        page = self.server.pages.get(self.path[1:])
        if page is None:
            self.send_error(404)
        elif callable(page):
            page(self)
        else:
            self.answer(page, len(page))

    def answer(self, data, length):
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def left_in(folder):
    """All files below a folder, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def tar(*members, name_of=tarfile.TarInfo):
    """A gzipped tar archive of (path, data) or of ready `TarInfo`s."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = name_of(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return out.getvalue()


def zipped(*members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in members:
            archive.writestr(path, data)
    return out.getvalue()


def cut(data, length):
    """An answer that breaks off."""
    return lambda handler: handler.answer(data[:length], len(data))
