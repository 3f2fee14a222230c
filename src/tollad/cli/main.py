"""The command line: a dictionary of commands, and how errors, warnings and signals are handled.

Nothing heavy is imported here; each command imports what it needs when it runs, so that ``tollad --help`` is quick.
"""

from __future__ import annotations

import signal
import sys
import warnings
from functools import partial
from typing import Any

import click

from tollad import __version__
from tollad.cli.calibrate import calibrate
from tollad.cli.data import data
from tollad.cli.demo import demo
from tollad.cli.evaluate import evaluate
from tollad.cli.export import export
from tollad.cli.fit import fit
from tollad.cli.hints import in_options
from tollad.cli.info import info
from tollad.cli.paper import paper
from tollad.cli.score import score
from tollad.cli.serve import serve
from tollad.cli.sweep import sweep
from tollad.cli.terminal import drop_lost_output, ended_by_signals
from tollad.io.streams import standard_output
from tollad.warn import printable, tell

# Errors about what the user gave, shown as one line. Anything else is a defect, shown with its traceback.
_USER_ERRORS = (ValueError, TypeError, OSError, FloatingPointError, MemoryError, ImportError)


# Packages that scoring ONNX files does without.
_LEFT_OUT = ("torch", "sklearn", "scipy")


class _Commands(click.Group):
    """The group of all commands, in the order of `COMMANDS`; shows errors and warnings as single lines."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            with standard_output():
                return super().main(*args, **kwargs)
        except OSError as error:  # from printing the help or the version
            tell(f"Error: {error}")
            sys.exit(1)
        finally:
            drop_lost_output()

    def invoke(self, ctx: click.Context) -> Any:
        ended: list[int] = []
        try:
            with warnings.catch_warnings(), ended_by_signals(ended):
                warnings.simplefilter("default", UserWarning)
                said: set[str] = set()
                warnings.showwarning = partial(_show_warning, ctx, said)
                return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            if sys.stderr is not None and sys.stderr.isatty():
                tell("")  # ends the line of the progress bar
            tell(str(interrupt) or "Interrupted")
            ctx.exit(128 + (ended[0] if ended else signal.SIGINT))
        except BrokenPipeError:
            pass  # the reader of standard output, such as `head`, has closed it
        except MemoryError as error:
            need = str(error) or "the work needs more than there is"
            raise click.ClickException(printable(f"not enough memory: {need}")) from error
        except _USER_ERRORS as error:
            text = in_options(str(error), _options_of(ctx)) or type(error).__name__
            lacking = (getattr(error, "name", None) or "").partition(".")[0]
            if isinstance(error, ModuleNotFoundError) and lacking in _LEFT_OUT:
                text = f"this needs {lacking}, which is not installed; files of `tollad export` can be scored without"
            raise click.ClickException(_lines(text)) from error


def _lines(message: str) -> str:
    """Return a message of one or more lines with unprintable characters escaped."""
    return "\n".join(map(printable, message.split("\n")))


def _options_of(ctx: click.Context) -> set[str]:
    """Return the options of the command that runs."""
    command = COMMANDS.get(ctx.invoked_subcommand or "")
    return set() if command is None else {option for parameter in command.params for option in parameter.opts}


def _show_warning(ctx: click.Context, said: set[str], message: Warning | str, *_where: object, **_how: object) -> None:
    """Show a warning once: reader and detector may both warn of the same rows."""
    if str(message) not in said:
        said.add(str(message))
        tell(f"Warning: {printable(in_options(str(message), _options_of(ctx)))}")


COMMANDS = {
    "fit": fit,
    "score": score,
    "evaluate": evaluate,
    "calibrate": calibrate,
    "info": info,
    "export": export,
    "serve": serve,
    "sweep": sweep,
    "demo": demo,
    "data": data,
    "paper": paper,
}
"""All commands by name, in the order of the help: the one place to touch to add a command."""


@click.group(cls=_Commands, commands=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Anomaly detection by targeted collapse."""
