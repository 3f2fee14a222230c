"""The parameters of `TollDetector`, declared once: default, meaning, check, and option of the command line.

Neither torch nor NumPy is imported, so that the command line can build its help from this table.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from tollad.detector import checks

Text: TypeAlias = Literal["text", "number", "integer", "widths", "rate", "kinds", "flag", "window"]


@dataclass(frozen=True)
class Parameter:
    """One parameter.

    Attributes
    ----------
    name : str
    default : object
    values : str
        What it may be, as docstrings have it.
    meaning : str
        What it does, in sentences.
    check : callable
        ``(name, value) -> None``, raising TypeError or ValueError with one sentence.
    option : {"text", "number", "integer", "widths", "rate", "kinds", "flag", "window"}
        How the command line reads it from text.
    help : str
        Its line in the help of the command line.
    metavar : str, default ""
        What stands for the value there.
    """

    name: str
    default: Any
    values: str
    meaning: str
    check: checks.Check
    option: Text
    help: str
    metavar: str = ""

    def documented(self) -> str:
        """Return the entry of a docstring."""
        default = "optional" if self.default is None and "None" not in self.values else f"default {self.default!r}"
        lines = textwrap.indent(textwrap.dedent(self.meaning).strip(), " " * 4)
        return f"{self.name} : {self.values}, {default.replace(chr(39), chr(34))}\n{lines}"


PARAMETERS = (
    Parameter(
        name="beta",
        default="auto",
        values='float >= 0 or "auto"',
        meaning="""
        Weight of the latent norm against the reconstruction error, both in the units of the inputs that the network
        sees. 0 is the plain autoencoder. "auto" is 1.""",
        check=checks.number("a finite number >= 0", lambda value: value >= 0, auto=True),
        option="number",
        metavar="X",
        help="Weight of the latent norm against the reconstruction error.",
    ),
    Parameter(
        name="norm",
        default="l2",
        values='{"l2", "l1", "linf", "squared_l2"}',
        meaning="""
        Penalty of the latent: a norm (Table 8), or any other term of `tollad.method.terms` that begins with
        "latent_".""",
        check=checks.choice(checks.latent_penalties),
        option="text",
        metavar="NAME",
        help="Penalty of the latent: l2, l1, linf or squared_l2.",
    ),
    Parameter(
        name="error",
        default="l2",
        values='{"l2", "l1", "squared_l2"}',
        meaning="""
        Reconstruction error: the paper's norm, or another term of `tollad.method.terms`.""",
        check=checks.choice(checks.reconstruction_errors),
        option="text",
        metavar="NAME",
        help="Reconstruction error: l2, l1 or squared_l2.",
    ),
    Parameter(
        name="target",
        default="origin",
        values='{"origin", "mean"}',
        meaning="""
        What the latents collapse onto. "mean" is the mean latent of the normal rows (section 4.1): of the batch while
        training, of all training rows when scoring. It is meant for encoders that were trained before.""",
        check=checks.choice(("origin", "mean")),
        option="text",
        metavar="NAME",
        help="What latents collapse onto: origin or mean.",
    ),
    Parameter(
        name="latent_dim",
        default="auto",
        values='int >= 1 or "auto"',
        meaning="""
        Length of the latent. "auto" is 128 for the default network of tables, 64 for convolutions, and for "mlp" 16, or
        half the columns when they are fewer than 32.""",
        check=checks.integer(1, auto=True),
        option="integer",
        metavar="N",
        help="Length of the latent.",
    ),
    Parameter(
        name="network",
        default="auto",
        values="str, builder, nn.Module or (encoder, decoder)",
        meaning="""
        Name of a builder in `tollad.method.networks`, or a builder of your own, ``(shape, latent_dim) -> module``; or
        modules, which are copied and start from the weights they have: one that returns ``(x_hat, z)``, so that it may
        have skip connections, or two, (B, *shape) -> (B, latent_dim) and back. `shape` is that of a row, with one
        channel before two axes, and a table has a column more for each with missing values. "auto" is "conv" for
        images, "mlp_layernorm" for tables, or "mlp" for tables when nothing is corrupted.""",
        check=checks.network,
        option="text",
        metavar="NAME",
        help="Builder of the network: mlp, conv, conv1d, ...",
    ),
    Parameter(
        name="hidden",
        default="auto",
        values='sequence of int or "auto"',
        meaning="""
        Widths from the input towards the latent, which is not among them; the decoder mirrors them. "auto" is the
        network's default, see `tollad.method.networks`.""",
        check=checks.hidden,
        option="widths",
        metavar="N,N,...",
        help="Widths of the hidden layers from the input to the latent.",
    ),
    Parameter(
        name="learning_rate",
        default="auto",
        values='float > 0 or "auto"',
        meaning="""
        Highest step size of Adam. With corruption it warms up and falls along a cosine, and "auto" is 2e-3; without it
        is constant, and "auto" is 1e-3.""",
        check=checks.number("a finite number > 0", lambda value: value > 0, auto=True),
        option="number",
        metavar="X",
        help="Step size of Adam.",
    ),
    Parameter(
        name="batch_size",
        default="auto",
        values='int >= 2 or "auto"',
        meaning="""
        Rows drawn, without replacement, for a step; at most all. "auto" is 128.""",
        check=checks.integer(2, auto=True),
        option="integer",
        metavar="N",
        help="Rows in a step.",
    ),
    Parameter(
        name="steps",
        default="auto",
        values='int >= 1 or "auto"',
        meaning="""
        Updates (not epochs). "auto" is a few hundred with corruption, more without; `settings_` has the number.""",
        check=checks.integer(1, auto=True),
        option="integer",
        metavar="N",
        help="Updates (not epochs).",
    ),
    Parameter(
        name="n_members",
        default="auto",
        values='int >= 1 or "auto"',
        meaning="""
        Models that differ in initial weights and batches, trained as one stack. Of several, each member's score is
        divided by its mean over the training rows, and the score is the mean. "auto" is 4 with corruption, else 1.""",
        check=checks.integer(1, auto=True, most=100_000),
        option="integer",
        metavar="N",
        help="Models trained side by side and averaged.",
    ),
    Parameter(
        name="corruption",
        default="auto",
        values='{"auto", "mixed"} or None',
        meaning="""
        "mixed" is denoising collapse: the network is given a corrupted row, must return the clean one, and puts its
        latent as far from the target as the row was moved,
        ``||x_hat - x||_2 + beta * | ||z||_2 - ||x_corrupted - x||_2 |``. At a clean row, that is when scoring, this is
        equation 3 as it stands. None is the paper's loss. "auto" is "mixed" for tables and network "auto" or
        "mlp_layernorm", otherwise None; it decides what every other "auto" stands for.""",
        check=checks.choice(("auto", "mixed", None)),
        option="text",
        metavar="NAME",
        help="Corruption of the inputs in training: auto, mixed or none.",
    ),
    Parameter(
        name="neighbors",
        default="auto",
        values='int >= 0 or "auto"',
        meaning="""
        Training rows that are kept, drawn at random, to add a third term to the score: the distance to the nearest of
        them, in the units of the inputs that the network sees; it is no less than that row's own distance to its
        neighbors, and half of it counts relative to how dense the rows are there, see
        `tollad.detector.nearest.Nearest`. Of several members, it is divided in each view by its mean over the training
        rows, which are not compared with themselves. 0 keeps no row, also not in the file of the model. "auto" is
        2,000 with corruption, or as many as take 16 MB, and 0 without.""",
        check=checks.integer(0, auto=True),
        option="integer",
        metavar="N",
        help="Training rows kept for the distance to the nearest; 0 keeps none.",
    ),
    Parameter(
        name="neighbor_weight",
        default=1.0,
        values="float >= 0",
        meaning="""
        Weight of the distance to the nearest training row against the score of the networks.""",
        check=checks.number("a finite number >= 0", lambda value: value >= 0),
        option="number",
        metavar="X",
        help="Weight of the distance to the nearest training row.",
    ),
    Parameter(
        name="preprocess",
        default="auto",
        values='{"auto", "standard"} or None',
        meaning="""
        "standard" subtracts the mean and divides by the standard deviation of the training rows, by column for tables
        and by channel otherwise, and clips at 50; "auto" does the same; None takes values as they are. Missing values
        in tables are always replaced by the training median and flagged in a column of their own.""",
        check=checks.choice(("auto", "standard", None)),
        option="text",
        metavar="NAME",
        help="Scaling of the columns: auto, standard or none.",
    ),
    Parameter(
        name="n_channels",
        default=None,
        values="int >= 1",
        meaning="""
        Rows are windows of a series of so many channels, flat, one channel after the other. All columns of a channel
        are then standardised alike; values are clipped at 1,000, so that one spike may stand out above another; and
        the distance to the nearest training row counts as it is.""",
        check=checks.optional(checks.integer(1)),
        option="integer",
        metavar="N",
        help="Rows are windows of a series of N channels, flat: all columns of a channel are standardised alike.",
    ),
    Parameter(
        name="columns",
        default=None,
        values='mapping of str to {"number", "category", "date", "drop"}',
        meaning="""
        Kinds of columns of a frame that should not be decided by their values, see `tollad.tables.survey.fit_columns`.
        All others are numbers, dates or categories by their type, and text by what all of its values are.""",
        check=checks.kinds,
        option="kinds",
        metavar="COL=KIND",
        help="The kind of a column: number, category, date or drop; may repeat.",
    ),
    Parameter(
        name="contamination",
        default=0.1,
        values="float in (0, 0.5]",
        meaning="""
        Share of the training rows that `predict` is to call anomalous; it decides `offset_`. The network has seen these
        rows, so more of new normal rows lie above: on small tables many more.""",
        check=checks.contamination,
        option="number",
        metavar="X",
        help="Share of the training rows to call anomalous, at most 0.5.",
    ),
    Parameter(
        name="false_alarm_rate",
        default=None,
        values="float in (0, 1)",
        meaning="""
        Share of new normal rows that `predict` may call anomalous. It wins over `contamination`: a fifth of the
        training rows, or as many as the rate needs, is held out, and the threshold is put on their scores
        (split-conformal). On average the promise holds for any rows that are exchangeable with those held out.""",
        check=checks.optional(
            checks.number("a share of the normal rows, 0 < false_alarm_rate < 1", lambda value: 0 < value < 1)
        ),
        option="rate",
        metavar="X",
        help="Share of new normal rows to call anomalous; holds out rows.",
    ),
    Parameter(
        name="early_stopping",
        default=False,
        values="bool",
        meaning="""
        Hold out a tenth of the training rows, keep the weights with the lowest mean score on them, and stop when that
        has not improved for a tenth of the steps. No label is used: the rows held out are normal ones.""",
        check=checks.flag,
        option="flag",
        help="Hold out a tenth of the rows and stop at their best score.",
    ),
    Parameter(
        name="precision",
        default="float32",
        values='{"float32", "float64", "bf16"}',
        meaning="""
        Of the training; "bf16" is mixed precision and pays for convolutions.""",
        check=checks.choice(("float32", "float64", "bf16")),
        option="text",
        metavar="NAME",
        help="Of the training: float32, float64 or bf16.",
    ),
    Parameter(
        name="device",
        default="auto",
        values="str or torch.device",
        meaning="""
        "auto" is the first of cuda, mps and cpu that is there.""",
        check=checks.later,
        option="text",
        metavar="NAME",
        help="auto, cpu, cuda, mps, cuda:1, ...",
    ),
    Parameter(
        name="random_state",
        default=None,
        values="int, RandomState or None",
        meaning="""
        Decides initial weights, batches and held-out rows. An int gives the same bits on the same machine with the same
        number of threads; None takes fresh entropy. Global random states are never touched.""",
        check=checks.later,
        option="integer",
        metavar="N",
        help="Seed: the same seed gives the same model.",
    ),
    Parameter(
        name="verbose",
        default=0,
        values="int",
        meaning="""
        1 shows progress on standard error.""",
        check=checks.whole,
        option="flag",
        help="Show the progress of the training.",
    ),
)
"""All parameters, in the order of the documentation."""


def check_parameters(parameters: Mapping[str, Any], table: Sequence[Parameter] = PARAMETERS) -> None:
    """Raise for the first parameter of a detector that is not what it may be.

    Parameters
    ----------
    parameters : mapping of str
        As ``TollDetector().get_params()`` returns.
    table : sequence of Parameter
        Those of another detector.

    Raises
    ------
    TypeError, ValueError
        One sentence that names the parameter, what it may be, and what was given.
    """
    for parameter in table:
        parameter.check(parameter.name, parameters[parameter.name])


def documented(cls: type, table: Sequence[Parameter] = PARAMETERS) -> type:
    """Write the parameters of a table into the docstring of a class, in the place of ``{parameters}``."""
    entries = textwrap.indent("\n".join(parameter.documented() for parameter in table), " " * 4)
    cls.__doc__ = (cls.__doc__ or "").replace("    {parameters}", entries)
    return cls
