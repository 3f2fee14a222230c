"""The parameters of `TollDetector`, declared once: default, meaning, check, and option of the command line.

Neither torch nor NumPy is imported, so that the command line can build its help from this table.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from tollad.detector import checks
from tollad.detector.declared import Parameter

PARAMETERS = (
    Parameter(
        name="beta",
        default="auto",
        values='float >= 0 or "auto"',
        meaning="""
        Weight of the latent norm against the reconstruction error, both in the units of the inputs that the network
        sees. 0 is the plain autoencoder. "auto" is 1.""",
        check=checks.number(least=0, auto=True),
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
        The point onto which the latents collapse. "mean" is the mean latent of the normal rows (section 4.1): of
        the batch while training, of all training rows when scoring. It is meant for encoders that were trained
        elsewhere.""",
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
        check=checks.integer(1, auto=True, most=checks.MOST_WIDE),
        option="integer",
        metavar="N",
        help="Length of the latent.",
    ),
    Parameter(
        name="network",
        default="auto",
        values="str, builder, nn.Module or (encoder, decoder)",
        meaning="""
        Name of a builder in `tollad.method.networks`; a builder of your own, ``(shape, latent_dim) -> module``; or
        modules, which are copied with their weights: a pair (B, *shape) -> (B, latent_dim) and back, or one module that
        returns ``(x_hat, z)`` and so may have skip connections. `shape` is that of a row. Grey images get an axis for
        their one channel, and a table gets another column for each column with missing values. "auto" is "conv" for
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
        Widths of the layers between input and latent; the decoder mirrors them. "auto" is the
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
        Highest step size of Adam. With corruption the step size warms up and then falls along a cosine, and "auto" is
        2e-3. Without, it is constant, and "auto" is 1e-3.""",
        check=checks.number(above=0, auto=True),
        option="number",
        metavar="X",
        help="Step size of Adam.",
    ),
    Parameter(
        name="batch_size",
        default="auto",
        values='int >= 2 or "auto"',
        meaning="""
        Rows drawn without replacement for each step. "auto" is 128.""",
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
        Number of models, trained as one stack, that differ in initial weights and batches. The scores of several are
        each divided by their mean over the training rows, then averaged. "auto" is 2 with corruption, else 1.""",
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
        "mixed" is denoising collapse: the network is given a corrupted row and must return the clean one, with a latent
        as far from the target as the row was moved. The loss is
        ``||x_hat - x||_2 + beta * | ||z||_2 - ||x_corrupted - x||_2 |``. Nothing is corrupted when scoring, so there it
        is equation 3. None is the paper's loss. "auto" is "mixed" for tables and network "auto" or
        "mlp_layernorm", otherwise None. The values of all other "auto" depend on it.""",
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
        Number of training rows, drawn at random, that are kept for a third term of the score: the distance to the
        nearest kept row, in the units of the inputs that the network sees. The distance is at least that kept row's own
        distance to its neighbors, and half of it is relative to the density of rows there, see
        `tollad.detector.nearest.Nearest`. With several members, it is divided in each view by its mean over the
        training rows, which are not compared with themselves. 0 keeps no row, not even in the model file. "auto" is
        2,000 with corruption, or as many as take 16 MB, and 0 without; for at most five columns a twentieth of the
        rows, from 2,000 to 10,000.""",
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
        check=checks.number(least=0),
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
        and by channel otherwise, and clips at 50. "auto" does the same but for tables of 32 columns of numbers or more
        that may share a unit, as those of embeddings and pixels do. Fewer than 5 rows a column are whitened (up to
        2,048 columns, none of which spreads above 100 times as far as their median), by the covariance of Ledoit and
        Wolf. Of more rows, columns that spread alike are half standardised: divided by the square root of the standard
        deviation times its mean over these columns. None takes values as they are. Missing values in tables are always
        replaced by the training median and flagged in a column of their own.""",
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
        If given, each row is a window of a series with this many channels, one channel after the other. All columns of
        a channel are then standardised alike, values are clipped at 1,000 rather than 50, so that large spikes still
        differ in score, and the distance to the nearest training row is not divided by the density around it.""",
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
        Kinds of columns of a frame, by name; "drop" leaves a column out. The kind of any other column follows from its
        type, or for text from its values, see `tollad.tables.survey.fit_columns`.""",
        check=checks.column_kinds,
        option="kinds",
        metavar="COL=KIND",
        help="The kind of a column: number, category, date or drop; may repeat.",
    ),
    Parameter(
        name="contamination",
        default=0.1,
        values="float in (0, 0.5]",
        meaning="""
        Share of the training rows that `predict` calls anomalous; it places `offset_`. The network was fitted to these
        rows, so a larger share of new normal rows lies above the threshold: on small tables much larger.""",
        check=checks.contamination,
        option="share",
        metavar="X",
        help="Share of the training rows to call anomalous, at most 0.5.",
    ),
    Parameter(
        name="false_alarm_rate",
        default=None,
        values="float in (0, 1)",
        meaning="""
        Share of new normal rows that `predict` may call anomalous. If given, `contamination` has no effect: a fifth of
        the training rows, or as many as the rate needs, is held out, and the threshold is placed by their scores
        (split conformal). On average the rate holds for all rows that are exchangeable with those held out.""",
        check=checks.optional(checks.number("a share of the normal rows, 0 < false_alarm_rate < 1", above=0, below=1)),
        option="rate",
        metavar="X",
        help="Share of new normal rows to call anomalous; holds out rows.",
    ),
    Parameter(
        name="early_stopping",
        default=False,
        values="bool",
        meaning="""
        Whether to hold out a tenth of the training rows, keep the weights with the lowest mean score on them, and stop
        once that has not improved for a tenth of the steps. No labels are used: the rows held out are normal.""",
        check=checks.flag,
        option="flag",
        help="Hold out a tenth of the rows and stop at their best score.",
    ),
    Parameter(
        name="precision",
        default="float32",
        values='{"float32", "float64", "bf16"}',
        meaning="""
        Precision of the training. "bf16" is mixed precision, which is faster for convolutions.""",
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
        Where to train and to score. "auto" is the first of cuda, mps and cpu that this machine has.""",
        check=checks.unchecked,
        option="text",
        metavar="NAME",
        help="auto, cpu, cuda, mps, cuda:1, ...",
    ),
    Parameter(
        name="random_state",
        default=None,
        values="int, RandomState or None",
        meaning="""
        Seed of initial weights, batches and held-out rows. With an int, results are equal to the bit on the same
        machine with the same number of threads; None draws a new seed. Global random states are never touched.""",
        check=checks.unchecked,
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
        check=checks.integer_or_bool,
        option="flag",
        help="Show the progress of the training.",
    ),
)
"""All parameters, in the order of the documentation."""


def check_parameters(parameters: Mapping[str, Any], table: Sequence[Parameter] = PARAMETERS) -> None:
    """Raise an error for the first parameter of a detector whose value is not allowed.

    Parameters
    ----------
    parameters : mapping of str
        As ``TollDetector().get_params()`` returns.
    table : sequence of Parameter
        The declared parameters.

    Raises
    ------
    TypeError, ValueError
        In one sentence: the parameter, the allowed values, and the given one.
    """
    for parameter in table:
        parameter.check(parameter.name, parameters[parameter.name])


def with_defaults(parameters: Mapping[str, Any], table: Sequence[Parameter] = PARAMETERS) -> dict[str, Any]:
    """Return the parameters of a model file, and defaults for newer ones; TypeError for one that is not declared."""
    defaults = {parameter.name: parameter.default for parameter in table}
    if unknown := parameters.keys() - defaults:
        raise TypeError(f"parameters that this version does not know: {sorted(unknown)}")
    return defaults | dict(parameters)


def documented(cls: type, table: Sequence[Parameter] = PARAMETERS) -> type:
    """Write the parameters of a table into the docstring of a class, in the place of ``{parameters}``."""
    entries = textwrap.indent("\n".join(parameter.documented() for parameter in table), " " * 4)
    cls.__doc__ = (cls.__doc__ or "").replace("    {parameters}", entries)
    return cls
