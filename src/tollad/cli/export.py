"""``tollad export``."""

from __future__ import annotations

import click

from tollad.cli.shared import force_option
from tollad.warn import printable


@click.command()
@click.argument("model")
@click.option("-o", "--output", required=True, metavar="OUT", help="The ONNX file to write, such as model.onnx.")
@force_option
def export(model: str, output: str, force: bool) -> None:
    """Write MODEL, of tables, images or series, as one ONNX graph.

    The graph contains preprocessing, networks, threshold and p-value. Any ONNX runtime runs it. For tables, tollad
    score OUT DATA does so, too, without torch.
    """
    from tollad.io.outputs import check_distinct, check_output
    from tollad.serve.answers import load

    check_distinct(output, read=(model,))
    check_output(output, overwrite=force)
    detector = load(model, None)
    if not hasattr(detector, "to_onnx"):
        raise ValueError(
            f"{printable(model)}: is of fit --method, which has no ONNX graph; score with the model itself"
        )
    detector.to_onnx(output, overwrite=force)
    click.echo(f"Wrote {printable(output)}")
