from __future__ import annotations

import warnings

import pytest
import torch

from tollad.bench import machine

CPU = torch.device("cpu")


def test_the_peak_is_measured():
    assert machine.peak_flops(CPU, "float32") > 1e8


def test_a_precision_that_is_only_imitated_is_warned_of(monkeypatch):
    speeds = {"float32": 70e9, "bf16": 1e9}
    monkeypatch.setattr(machine, "peak_flops", lambda device, precision: speeds[precision])
    with pytest.warns(UserWarning, match=r"at 1 GFLOP/s in bf16 and at 70 in float32; use precision='float32'"):
        machine.warn_if_slow(CPU, "bf16")
    speeds["bf16"] = 140e9
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        machine.warn_if_slow(CPU, "bf16")
        machine.warn_if_slow(CPU, "float32")


def test_products_are_set_for_the_block_only():
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    with machine.products("tf32"):
        assert torch.get_float32_matmul_precision() == "high"
        with machine.products("float32"):
            assert torch.get_float32_matmul_precision() == "highest"
            assert not torch.backends.cudnn.allow_tf32
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before
