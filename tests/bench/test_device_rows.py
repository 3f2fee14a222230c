from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from bench.synthetic import image_task, table_task

from tollad.bench.device_rows import DevicePreprocessing, DeviceRows
from tollad.bench.preprocessing import Preprocessing
from tollad.bench.protocols import make_task

CPU = torch.device("cpu")


@pytest.mark.parametrize("kind", ["scale", "contrast"])
def test_preprocessing_on_the_device_is_the_one_of_the_data(kind):
    images = image_task().train
    images[0] = 7  # of one value: there is nothing to divide by
    preprocessings = [Preprocessing(kind, (0.1, 0.3)), Preprocessing(kind, (-2.0, 5.0))]
    found = DevicePreprocessing(preprocessings, CPU)(torch.from_numpy(images)[None])
    for member, preprocessing in zip(found, preprocessings, strict=True):
        np.testing.assert_allclose(member, preprocessing(images), rtol=1e-6, atol=1e-6)


def test_constants_that_all_share_are_applied_once():
    prepare = DevicePreprocessing([Preprocessing("scale", (0.1, 0.3))] * 4, CPU)
    assert prepare(torch.zeros(1, 2, 1, 3, 3, dtype=torch.uint8)).shape[0] == 1


def test_a_stack_has_one_kind_of_preprocessing():
    with pytest.raises(ValueError, match="one kind of preprocessing, not contrast, scale"):
        DevicePreprocessing([Preprocessing("scale", (0.0, 1.0)), Preprocessing("contrast", (0.0, 1.0))], CPU)


class TestBatches:
    def test_rows_are_distinct_and_of_the_member_s_own_task(self):
        tasks = [image_task(0, 30), image_task(1, 40, (0.0, 1.0))]
        inputs, x = DeviceRows(tasks, CPU).batches(20, [0, 0])(step=3)
        assert inputs is x
        assert x.shape == (2, 20, 3, 8, 9)
        for member, task in zip(x, tasks, strict=True):
            prepared = task.preprocessing(task.train)
            nearest = np.abs(prepared[:, None] - member.numpy()[None]).max((2, 3, 4))
            assert len(set(nearest.argmin(0))) == 20
            assert nearest.min(0).max() < 1e-6

    def test_depend_on_seed_and_step_only(self):
        task = table_task()
        one = DeviceRows([task], CPU).batches(20, [0], steps_at_once=20)
        other = DeviceRows([task] * 3, CPU).batches(20, [1, 0, 0], steps_at_once=4)
        for step in (0, 21, 3):
            (x, _), (y, _) = one(step), other(step)
            assert torch.equal(x[0], y[1])
            assert torch.equal(y[1], y[2])
            assert not torch.equal(y[0], y[1])
        assert not torch.equal(one(0)[0], one(1)[0])

    def test_of_members_that_see_the_same_are_in_memory_once(self):
        for make in (table_task, image_task):
            task = make()
            x, _ = DeviceRows([task] * 3, CPU).batches(20, [7, 7, 7])(1)
            alone, _ = DeviceRows([task], CPU).batches(20, [7])(1)
            assert x.shape[0] == 3
            assert x.stride(0) == 0
            assert torch.equal(x[2], alone[0])

    def test_may_take_all_rows(self):
        task = table_task()
        x, _ = DeviceRows([task], CPU).batches(60, [0])(0)
        assert torch.equal(x[0], torch.from_numpy(task.train).float())

    def test_larger_than_a_task_are_refused(self):
        with pytest.raises(ValueError, match="batch_size is 31, but images/0 trains on 30 rows"):
            DeviceRows([image_task(1, 40), image_task(0, 30)], CPU).batches(31, [0, 0])


class TestBlocks:
    @pytest.mark.parametrize("size", [7, 40, 100])
    def test_hold_all_rows_in_order(self, size):
        tasks = [image_task(0), image_task(1, constants=(0.0, 1.0))]
        rows = DeviceRows(tasks, CPU)
        part = rows.part("test")
        blocks = [rows.prepare(part[start : start + size]) for start in range(0, len(part), size)]
        assert {len(block) for block in blocks} == {2}
        for member, task in zip(torch.cat(blocks, 1), tasks, strict=True):
            np.testing.assert_allclose(member, task.preprocessing(task.test), atol=1e-6)

    def test_rows_that_members_share_are_held_once(self):
        task = image_task()
        other = dataclasses.replace(task, preprocessing=Preprocessing("contrast", (0.0, 2.0)))
        rows = DeviceRows([task, other], CPU)
        held = rows.part("validation")[:]
        assert len(held) == 1
        found = rows.prepare(held)
        np.testing.assert_allclose(found[1], other.preprocessing(other.validation), atol=1e-6)

    def test_images_have_their_channels_last_in_memory(self):
        rows = DeviceRows([image_task()], CPU)
        for x in (rows.batches(5, [0])(0)[0], rows.prepare(rows.part("test")[:8])):
            assert x[0].is_contiguous(memory_format=torch.channels_last)

    def test_labels_are_each_member_s_own(self):
        task = table_task()
        other = dataclasses.replace(task, test_labels=1 - task.test_labels)
        labels = DeviceRows([task, other], CPU).labels("test")
        assert labels.tolist() == [(task.test_labels == 1).tolist(), (task.test_labels == 0).tolist()]


def test_tables_are_standardised_in_double_precision():
    task = dataclasses.replace(
        table_task(), preprocessing=Preprocessing("standardise", ((1e6,) * 6, (2.0,) * 6)), train=1e6 + np.ones((60, 6))
    )
    x, _ = DeviceRows([task], CPU).batches(4, [0])(0)
    assert torch.equal(x, torch.full((1, 4, 6), 0.5))


@pytest.mark.data
@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist", "cifar10", "cifar100"])
def test_real_images_are_preprocessed_as_the_reference_does(dataset):
    try:
        task = make_task("one_class", dataset, normal=1)
    except FileNotFoundError:
        pytest.skip(f"{dataset} is not there")
    rows = DeviceRows([task], CPU)
    found = rows.prepare(rows.part("test")[:500])
    np.testing.assert_allclose(found[0], task.preprocessing(task.test[:500]), atol=1e-5)
