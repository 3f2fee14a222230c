"""The command line as a whole: its help, its usage errors, its standard streams and its signals."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pytest
from commands import COMMAND, SMALL, done, tollad, write_csv

from tollad import TollDetector
from tollad.cli.main import COMMANDS
from tollad.detector.fitted import Fitted
from tollad.io.outputs import write_tables


def test_help_lists_the_commands_without_loading_anything_heavy() -> None:
    code = (
        "import sys\n"
        "from tollad.cli.main import main\n"
        "main(sys.argv[1:], standalone_mode=False)\n"
        "print(sorted({'torch', 'numpy', 'sklearn', 'pyarrow', 'matplotlib', 'scipy'} & set(sys.modules)))\n"
    )
    for arguments in ([], ["fit"], ["score"]):
        shown = subprocess.run(
            [sys.executable, "-c", code, *arguments, "--help"], capture_output=True, text=True, check=True
        )
        assert shown.stdout.endswith("\n[]\n")
    listed = tollad("--help").stdout.partition("Commands:\n")[2]
    assert [line.split()[0] for line in listed.splitlines()] == list(COMMANDS)


def test_python_runs_the_package_as_the_command() -> None:
    command = [sys.executable, "-m", "tollad", "--help"]
    assert "Commands:" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_an_installation_without_torch_says_what_it_can_do(fitted: Path) -> None:
    code = "import sys; sys.modules['sklearn'] = None; from tollad.cli.main import main; main()"
    command = [
        sys.executable,
        "-c",
        code,
        "fit",
        str(fitted / "data.csv"),
        "-o",
        str(fitted / "new.tollad"),
        "--drop",
        "id",
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 1
    assert said.stderr.startswith("Error: this needs sklearn")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_and_option_is_explained(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    assert all(option.help for option in command.params if isinstance(option, click.Option))


@pytest.mark.parametrize(
    "arguments",
    [
        ("fit",),
        ("fit", "data.csv"),
        ("fit", "data.csv", "-o", "m", "--latent-dim", "many"),
        ("fit", "data.csv", "-o", "m", "--hidden", "8,x"),
        ("fit", "data.csv", "-o", "m", "--label", "kind"),
        ("fit", "data.csv", "-o", "m", "--normal", "fine"),
        ("fit", "data.csv", "-o", "m", "--threads", "0"),
        ("fit", "data.csv", "-o", "m", "--threads", "100000"),
        ("evaluate", "m", "data.csv", "--normal", "fine"),
        ("evaluate", "m", "data.csv", "--label", "kind"),
        ("score", "m", "data.csv", "--fdr", "0"),
        ("score", "m", "data.csv", "--fdr", "1"),
        ("score", "m", "data.csv", "--explain", "0"),
        ("calibrate", "m", "data.csv"),
        ("calibrate", "m", "data.csv", "-o", "n", "--label", "kind"),
        ("guess",),
    ],
)
def test_wrong_usage_exits_with_2(arguments: tuple[str, ...]) -> None:
    result = tollad(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: ")


def test_nothing_is_lost_when_standard_output_takes_a_few_bytes_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class Trickle(io.BytesIO):
        def write(self, data: Any) -> int:
            return super().write(data[:7])

    written = Trickle()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written))
    write_tables(None, [pa.table({"row": [1, 2], "id": ["ä,b", None]})] * 2, overwrite=False)
    assert written.getvalue().decode() == 'row,id\n1,"ä,b"\n2,\n1,"ä,b"\n2,\n'


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize(
    "arguments",
    [("info", "m.tollad"), ("score", "m.tollad", "data.csv"), ("data", "list"), ("paper", "list"), ("--help",)],
)
def test_standard_output_on_a_full_disk_is_one_sentence(fitted: Path, arguments: tuple[str, ...]) -> None:
    command = [*COMMAND, *arguments]
    with open("/dev/full", "wb") as full:
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=fitted)
    assert result.returncode == 1
    words = "cannot write to standard output: the disk is full; free some space or write somewhere else"
    assert result.stderr == f"Error: {words}\n"


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("reader", ["left", "full"])
def test_what_is_told_on_the_side_never_ends_the_work(tmp_path: Path, reader: str) -> None:
    """Neither progress nor a warning ends it; this table causes a warning."""
    train = write_csv(tmp_path / "train.csv", {"a": [1.0, 2.5, 4.0], "b": [7, 7, 7]})
    if reader == "left":
        read, write = os.pipe()
        os.close(read)
    else:
        write = os.open("/dev/full", os.O_WRONLY)
    command = [*COMMAND, "fit", train, "-o", tmp_path / "m", *SMALL, "--steps", "30"]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=write, text=True)
    os.close(write)
    assert result.returncode == 0
    assert str(tmp_path / "m") in result.stdout
    assert TollDetector.load(tmp_path / "m").n_steps_ == 30


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="sends signals")
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_keeps_the_checkpoint_and_the_same_command_goes_on(
    fitted: Path, tmp_path: Path, sent: signal.Signals, status: int
) -> None:
    run = ["fit", fitted / "data.csv", "--label=kind", "--normal=fine", "--drop=id", "--threads=1", *SMALL]
    run += ["--steps=500", "-o", tmp_path / "m", "--checkpoint", tmp_path / "state"]
    command = [*COMMAND, *map(str, run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("step 50/500")
        process.send_signal(sent)
        shown, printed = process.communicate()
    assert process.returncode == status
    assert shown == ""
    *progress, last = printed.splitlines()
    assert last == f"Interrupted; the same command goes on from {tmp_path / 'state'}"
    assert all(line.startswith("step ") for line in progress)
    assert "step 500/500" not in printed
    assert list(tmp_path.iterdir()) == [tmp_path / "state"]

    resumed = done(*run)
    assert "step 50/500" not in resumed.stderr
    straight = done(*run[:-4], "-o", tmp_path / "straight")
    assert "step 50/500" in straight.stderr
    first, second = (TollDetector.load(tmp_path / name) for name in ("m", "straight"))
    assert first.offset_ == second.offset_
    assert (first.training_scores_ == second.training_scores_).all()


def test_ctrl_c_without_a_checkpoint_leaves_nothing(
    fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TollDetector, "fit", interrupt)
    monkeypatch.setattr(Fitted, "anomaly_score", interrupt)
    for run in (
        ("fit", fitted / "images.npy", "-o", tmp_path / "m"),
        ("score", fitted / "m.tollad", fitted / "data.csv", "-o", tmp_path / "s.csv"),
    ):
        result = tollad(*run)
        assert result.exit_code == 130
        assert result.output == "Interrupted\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="sends SIGTERM")
def test_sigterm_leaves_nothing(fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where Ctrl-C is switched off, as in the background of a shell."""

    def terminate(*arguments: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Fitted, "anomaly_score", terminate)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        result = tollad("score", fitted / "m.tollad", fitted / "data.csv", "-o", tmp_path / "s.csv")
    finally:
        signal.signal(signal.SIGINT, before)
    assert (result.exit_code, result.output) == (143, "Interrupted\n")
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("asked", "words", "found"),
    [
        ("bash_source", {}, "complete -o nosort -F _tollad_completion tollad"),
        ("bash_complete", {"COMP_WORDS": "tollad sc", "COMP_CWORD": "1"}, "plain,score"),
        ("bash_complete", {"COMP_WORDS": "tollad score --fd", "COMP_CWORD": "2"}, "plain,--fdr"),
    ],
)
def test_the_shell_completes_commands_and_options(asked: str, words: dict[str, str], found: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from tollad.cli.main import main; main(prog_name='tollad')"],
        env={**os.environ, "_TOLLAD_COMPLETE": asked, **words},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found in [line.strip() for line in done.stdout.splitlines()]


def test_ctrl_c_while_the_command_is_imported_shows_no_traceback() -> None:
    code = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # not so in the background of a shell
        "class Pressed:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'tollad.cli.main': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Pressed())\n"
        "from tollad.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")
