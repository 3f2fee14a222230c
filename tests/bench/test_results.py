from __future__ import annotations

import dataclasses
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bench.synthetic import table_run

from tollad.bench import results as module
from tollad.bench.results import Results, claim
from tollad.bench.spec import work_of

FOLDER = Path(__file__).parents[2] / "results"


def row(identity, error=None, **values):
    last = {"test": 0.5} if error is None else None
    whole = {"kind": "run", "identity": identity, "run": {}, "error": error, "last": last, "best_validation": None}
    return {**whole, **values}


def identities(folder):
    return [found["identity"] for found in Results(folder)]


def test_rows_come_back_as_they_were(tmp_path):
    results = Results(tmp_path / "new")
    assert list(results) == []
    results.append("mnist", [row("a", value=0.1 + 0.2, name="∞"), row("b")])
    results.append("cifar10", [row("c")])
    results.append("mnist", [row("d")])
    assert identities(tmp_path / "new") == ["c", "a", "b", "d"]
    assert next(r for r in results if r["identity"] == "a")["value"] == 0.1 + 0.2
    assert (tmp_path / "new" / "mnist.jsonl").read_text(encoding="utf-8").count("\n") == 3


def test_what_failed_is_not_finished(tmp_path):
    results = Results(tmp_path)
    done = {"run": dataclasses.asdict(table_run())}
    results.append("mnist", [row(table_run().identity, **done), row("b", "out of memory")])
    assert results.finished() == {table_run().identity}


def test_of_several_rows_of_one_identity_the_latest_without_an_error_is_read(tmp_path):
    results = Results(tmp_path)
    results.append("mnist", [row("a", "too slow", number=0), row("a", number=1), row("b", number=2)])
    results.append("mnist", [row("a", number=3), row("a", "out of memory", number=4), row("b", number=5)])

    assert [(found["identity"], found["number"]) for found in results] == [("a", 3), ("b", 5)]


def test_the_results_of_the_project_hold_each_identity_once_and_whole_recipes():
    lines = [json.loads(line) for path in FOLDER.glob("*.jsonl") for line in path.read_text("utf-8").splitlines()]
    assert len({line["identity"] for line in lines}) == len(lines)
    for line in lines:
        assert work_of(line).identity == line["identity"]
        assert json.loads(json.dumps(dataclasses.asdict(work_of(line)))) == line["run"]


@pytest.mark.parametrize("kept", [0, 1, 20, -1])
def test_a_torn_last_line_is_left_out_and_repaired(tmp_path, kept):
    """As a crash or a full disk leaves it: any part of the line, even all of it but its end."""
    results = Results(tmp_path)
    results.append("mnist", [row("a", note="longer than the next one")])
    path = tmp_path / "mnist.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:kept])
    assert identities(tmp_path) == ["a"]
    results.append("mnist", [row("b")])
    assert identities(tmp_path) == ["a", "b"]
    assert path.read_bytes().startswith(whole)
    assert [json.loads(line)["identity"] for line in path.read_text().splitlines()] == ["a", "b"]


def test_of_several_rows_a_crash_leaves_the_first_ones_whole(tmp_path):
    results = Results(tmp_path)
    results.append("mnist", [row("a"), row("b"), row("c")])
    path = tmp_path / "mnist.jsonl"
    whole = path.read_bytes()
    for kept in range(len(whole) + 1):
        path.write_bytes(whole[:kept])
        assert identities(tmp_path) == ["a", "b", "c"][: whole[:kept].count(b"\n")]


def test_a_torn_first_line_leaves_nothing(tmp_path):
    (tmp_path / "mnist.jsonl").write_text('{"format": 1, "iden')
    assert identities(tmp_path) == []
    Results(tmp_path).append("mnist", [row("a")])
    assert identities(tmp_path) == ["a"]


WRITE_MANY = """
import sys
from tollad.bench.results import Results

folder, writer = sys.argv[1:]
for number in range(50):
    row = {"kind": "run", "identity": f"{writer}-{number}", "run": {}, "error": "none", "filler": "x" * 5000}
    Results(folder).append("mnist", [row, {**row, "identity": f"{writer}-{number}b"}])
"""


@pytest.mark.slow
def test_two_writers_lose_nothing(tmp_path):
    writers = [subprocess.Popen([sys.executable, "-c", WRITE_MANY, str(tmp_path), str(writer)]) for writer in range(2)]
    assert [writer.wait() for writer in writers] == [0, 0]
    found = identities(tmp_path)
    assert sorted(found) == sorted(f"{w}-{number}{b}" for w in range(2) for number in range(50) for b in ("", "b"))
    # The rows of one call stay together.
    assert [f"{one}b" for one in found[::2]] == found[1::2]


def test_the_half_of_a_line_is_not_read_as_two(tmp_path):
    """As it looks when a writer goes on between two reads."""
    Results(tmp_path).append("mnist", [row("a")])
    path = tmp_path / "mnist.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:20])
    found = iter(Results(tmp_path))
    assert next(found)["identity"] == "a"
    path.write_bytes(whole + whole)
    assert list(found) == []


@pytest.mark.parametrize("kind", ["the folder is a file", "the file is a folder"])
def test_a_place_that_cannot_be_written_is_found_before_it_is_needed(tmp_path, kind):
    folder = tmp_path / "results"
    if kind == "the folder is a file":
        folder.write_text("")
    else:
        (folder / "mnist.jsonl").mkdir(parents=True)
    with pytest.raises(OSError, match=r"cannot write results to .*mnist\.jsonl: .*; choose another folder"):
        Results(folder).check("mnist")


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    results = Results(tmp_path)
    results.append("mnist", [row("a")])
    before = (tmp_path / "mnist.jsonl").read_bytes()
    whole = os.write

    def full(descriptor, data):
        whole(descriptor, data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "write", full)
    with pytest.raises(OSError, match=r"mnist\.jsonl: the disk is full; free some space") as error:
        results.append("mnist", [row("b")])
    assert error.value.errno == errno.ENOSPC
    assert (tmp_path / "mnist.jsonl").read_bytes() == before


def test_numbers_are_finite(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        Results(tmp_path).append("mnist", [row("a", value=float("nan"))])
    assert identities(tmp_path) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("not json", r"mnist\.jsonl, line 2 is no JSON; remove the line"),
        ("[1, 2]", r"mnist\.jsonl, line 2 is not a result of tollad"),
        ('{"format": 1}', r"mnist\.jsonl, line 2 is not a result of tollad"),
        ('{"format": 1, "identity": "x", "error": null}', r"mnist\.jsonl, line 2 is not a result of tollad"),
        (json.dumps({"format": 1, **row("x", run=5)}), "line 2 is not a result"),
        (json.dumps({"format": 1, **row("x", last=None)}), "line 2 is not a result"),
        (json.dumps({"format": 1, **row("x", best_validation={"test": 1})}), "line 2 is not a result"),
        (json.dumps({"format": 1, **row("x", last={"test": float("nan")})}), "line 2 is no JSON"),
        ("[" * 100_000, "line 2 is no JSON"),
        (
            '{"format": 7, "identity": "x", "error": null}',
            r"line 2 has format 7, and this tollad reads formats up to 1",
        ),
    ],
)
def test_other_lines_are_refused(tmp_path, line, message):
    Results(tmp_path).append("mnist", [row("a")])
    with (tmp_path / "mnist.jsonl").open("a") as file:
        file.write(f"{line}\n{json.dumps(row('b'))}\n")
    with pytest.raises(ValueError, match=message):
        list(Results(tmp_path))


def test_a_claim_needs_a_folder(tmp_path):
    (tmp_path / "scratch").write_text("")
    with (
        pytest.raises(OSError, match=r"cannot write into .*scratch: .*; choose another folder"),
        claim(tmp_path / "scratch" / "lock"),
    ):
        pass


HOLD = """
import sys
from pathlib import Path
from tollad.bench.results import claim

with claim(Path(sys.argv[1])) as free:
    print(free, flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_a_claim_is_for_one_process_and_ends_with_it(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "True\n"
        with claim(tmp_path / "lock") as free:
            assert not free
        other.kill()
    with claim(tmp_path / "lock") as free:
        assert free
