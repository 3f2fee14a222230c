"""Malformed requests by the thousand, always the same: none is answered with 5xx, and memory stays."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import random
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from detectors import FEW_STEPS, people, table, train
from served import app_of

from tollad import ImageDetector, SeriesDetector, TollDetector

pytest.importorskip("prometheus_client")
pytest.importorskip("fastapi")
image = pytest.importorskip("PIL.Image")

pytestmark = pytest.mark.filterwarnings(FEW_STEPS, "ignore:the false-alarm rate:UserWarning")

JSON, CSV = "application/json", "text/csv"
ARROW, PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"
FORM = "multipart/form-data; boundary=x"
# What is put into a text of JSON or CSV.
ODD = [b"null", b"NaN", b"1e999", b"-1e999", b"99999999999999999999999", b"1" * 400, b'"\\ud800"', b"\x00", b"\xff\xfe",
       b"[" * 3000, b"{}", b"[]", b'""', b"true", b"\n", b'"', b",,,", b"=1+1", b"2024-13-45", b"9999-12-31T23:59:60Z",
       b"x" * 5000, b'{"a":' * 500, b"\xe2\x80\xae", b"1_000", b"0x1f", b"inf", b"--", b"\r"]  # fmt: skip
LENGTHS = ("-1", "x", "999999999999")
HEADERS = [
    {},
    *({"content-length": length} for length in LENGTHS),
    {"x-request-id": b"\xff" * 90},
    {"authorization": "Bearer"},
    {"content-encoding": "gzip"},
    {"transfer-encoding": "x"},
]
METHODS = ("GET", "PUT", "DELETE", "OPTIONS", "PATCH", "HEAD", "X")
TYPES = ("", "text/html", "multipart/form-data", "\u00ff", "application/json;;")


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("malformed"), np.random.default_rng(0)
    train("table", false_alarm_rate=0.2).save(folder / "numbers.tollad")
    TollDetector(steps=12, hidden=(8,), random_state=0).fit(people()).save(folder / "people.tollad")
    wave = pd.DataFrame(np.sin(np.arange(300)[:, None] / [3, 5]) + 0.1 * rng.normal(size=(300, 2)), columns=["a", "b"])
    SeriesDetector(window=10, stride=3, steps=8, hidden=(8,), random_state=0).fit(wave).save(folder / "series.tollad")
    pixels = rng.integers(0, 255, (30, 16, 16)).astype(np.uint8)
    ImageDetector("gradients", random_state=0).fit(pixels).save(folder / "images.tollad")
    return app_of(*sorted(folder.glob("*.tollad")))


def valid() -> list[tuple[str, str, bytes]]:
    """Return a good request of each form: path, content type, body."""
    frame = people(6, seed=2)
    arrow, parquet, png = io.BytesIO(), io.BytesIO(), io.BytesIO()
    found = pa.Table.from_pandas(frame, preserve_index=False)
    with pa.ipc.new_stream(arrow, found.schema) as stream:
        stream.write_table(found)
    pq.write_table(found, parquet)
    image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(png, "PNG")
    rows = table(4, seed=1).tolist()
    columns = {f"x{number}": [1, 2] for number in range(1, 6)}
    objects = json.loads(frame.to_json(orient="records", date_format="iso"))
    tensor = {"name": "X", "shape": [4, 5], "datatype": "FP64", "data": rows}
    part = b'--x\r\nContent-Disposition: form-data; name="a"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    form = (part + png.getvalue() + b"\r\n") * 2 + b"--x--\r\n"
    steps = "a,b\n" + "".join(f"{np.sin(t / 3)},{np.sin(t / 5)}\n" for t in range(30))
    return [
        ("/models/numbers/score", JSON, json.dumps({"rows": rows}).encode()),
        ("/models/numbers/explain?reasons=2", JSON, json.dumps({"columns": columns}).encode()),
        ("/models/people/score", JSON, json.dumps({"rows": objects}).encode()),
        ("/models/people/score", CSV, frame.to_csv(index=False).encode()),
        ("/models/people/explain", ARROW, arrow.getvalue()),
        ("/models/people/score", PARQUET, parquet.getvalue()),
        ("/models/series/explain", CSV, steps.encode()),
        ("/models/images/score", "image/png", png.getvalue()),
        ("/models/images/explain", FORM, form),
        ("/v2/models/numbers/infer", JSON, json.dumps({"id": "1", "inputs": [tensor]}).encode()),
    ]  # fmt: skip


def spoilt(rng: random.Random, body: bytes) -> bytes:
    """Return a body with one to four mistakes."""
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(body) + 1)
        end = min(len(body), place + rng.choice([1, 2, 8, 60]))
        kind = rng.randrange(6)
        if kind == 0:
            body = body[:place]
        elif kind == 1:
            body = body[:place] + bytes(rng.randrange(256) for _ in range(end - place)) + body[end:]
        elif kind == 2:
            body = body[:place] + rng.choice(ODD) + body[place:]
        elif kind == 3:
            body = body[:place] + rng.choice(ODD) + body[end:]
        elif kind == 4:
            body = body[:place] + body[end:]
        else:
            body = body[:end] + body[place:]
    return body


def others(path: str) -> list[str]:
    """Return addresses like one, of which few are right."""
    changed = [path.replace("score", "x"), path.replace("numbers", "%00"), path.replace("people", "images")]
    return [f"{path}?reasons=0", f"{path}?reasons=1e9", "/score", "/%ff", *changed]


def resident() -> float:
    """Return the memory of this process in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


async def asked(app, n: int, seed: int) -> tuple[dict[int, int], list[float]]:
    """Send malformed requests; return how often each status came, and the memory at every 200th."""
    rng, good, statuses, memory = random.Random(seed), valid(), dict[int, int](), []
    kinds = [kind for _, kind, _ in good]
    transport = httpx.ASGITransport(app)  # what the app raises is raised here
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        for number in range(n):
            path, kind, body = rng.choice(good)
            body = spoilt(rng, body) if rng.random() < 0.95 else body
            if rng.random() < 0.05:
                kind = rng.choice([*kinds, *TYPES])
            if rng.random() < 0.05:
                path = rng.choice(others(path))
            method = rng.choice(METHODS) if rng.random() < 0.02 else "POST"
            headers = {"content-type": kind.encode("latin-1")} | (rng.choice(HEADERS) if rng.random() < 0.05 else {})
            response = await client.request(method, path, content=body, headers=headers)
            status = response.status_code
            statuses[status] = statuses.get(status, 0) + 1
            assert status < 500, (method, path, kind, body, response.text)
            if status >= 400 and method != "HEAD":
                sentence = response.json()["error"]
                assert 10 < len(sentence) < 2000, (path, body, sentence)
                assert not any(word in sentence for word in ("Traceback", "Error:", 'File "', "/tmp")), (body, sentence)
            if number % 200 == 199:  # seldom: with all tests loaded a collection takes half a second
                gc.collect()
                memory.append(resident())
    return statuses, memory


@pytest.mark.parametrize("n", [60, pytest.param(2_000, marks=pytest.mark.slow)])
def test_none_is_answered_with_5xx_and_memory_stays(app, n, capsys):
    statuses, memory = asyncio.run(asked(app, n, seed=n))
    assert statuses[200] > n // 50
    assert statuses[422] > n // 3
    # The first thousand fill what Arrow and torch keep.
    assert n < 2_000 or memory[-1] - memory[4] < 30, memory
    with capsys.disabled():
        print(statuses, [round(one) for one in memory])
