"""The graph in a browser's runtime: onnxruntime-web, under Node, gives the scores of the product.

Skipped where Node or the package onnxruntime-web is missing. NODE_PATH says where the package is, such as
``npm install --prefix ~/web onnxruntime-web`` and ``NODE_PATH=~/web/node_modules``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from detectors import FEW_STEPS, KINDS, train

pytest.importorskip("onnx")

PACKAGE = Path(os.environ.get("NODE_PATH", "."), "onnxruntime-web")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(FEW_STEPS),
    pytest.mark.skipif(
        shutil.which("node") is None or not PACKAGE.exists(), reason="node or onnxruntime-web is not installed"
    ),
]
SCRIPT = """
const ort = require("onnxruntime-web");
const { readFileSync } = require("fs");
ort.env.wasm.numThreads = 1;
(async () => {
  const session = await ort.InferenceSession.create(readFileSync(process.argv[2]), { executionProviders: ["wasm"] });
  const given = JSON.parse(readFileSync(process.argv[3], "utf-8"));
  const rows = new ort.Tensor("float64", Float64Array.from(given.flat()), [given.length, given[0].length]);
  const found = await session.run({ X: rows });
  const plain = {};
  for (const name of session.outputNames) plain[name] = Array.from(found[name].data, Number);
  console.log(JSON.stringify(plain));
})();
"""


@pytest.mark.parametrize("kind", ["table", "mlp"])
def test_rows_have_the_scores_of_the_product(kind, tmp_path):
    detector, rows = train(kind, false_alarm_rate=0.2), KINDS[kind][0][:40]
    detector.to_onnx(tmp_path / "m.onnx")
    (tmp_path / "rows.json").write_text(json.dumps(rows.tolist()))
    (tmp_path / "score.js").write_text(SCRIPT)
    command = ["node", *(str(tmp_path / name) for name in ("score.js", "m.onnx", "rows.json"))]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert not ended.returncode, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    np.testing.assert_allclose(found["anomaly_score"], detector.anomaly_score(rows), rtol=1e-6)
    np.testing.assert_array_equal(found["label"], detector.predict(rows))
    np.testing.assert_array_equal(found["p_value"], detector.p_value(rows))
