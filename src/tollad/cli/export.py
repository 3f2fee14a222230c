"""``tollad export``."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import click

from tollad.cli.shared import check_kinds, force_option
from tollad.warn import printable


@click.command()
@click.argument("model")
@click.option("-o", "--output", metavar="OUT", help="The ONNX file to write, such as model.onnx.")
@click.option(
    "--page",
    metavar="DIR",
    help="The folder to write with a page that scores files in the browser, for any server of static files.",
)
@click.option(
    "--onnxruntime-web",
    "web",
    default=os.path.join("node_modules", "onnxruntime-web"),
    show_default=True,
    metavar="FOLDER",
    help="The npm package that --page computes by; npm install onnxruntime-web gets it.",
)
@force_option
def export(model: str, output: str | None, page: str | None, web: str, force: bool) -> None:
    """Write MODEL, of tables, images or series, as one ONNX graph, or as a page without a server, or both.

    The graph contains preprocessing, networks, threshold and p-value. Any ONNX runtime runs it. tollad score OUT
    DATA does so, too, without torch, for tables and images. With --page, MODEL may be an ONNX file.
    """
    from tollad.io.outputs import check_different_files, check_output
    from tollad.serve.answers import load
    from tollad.serve.runtime import is_onnx
    from tollad.tables.large import temporary_space

    if output is None and page is None:
        raise click.UsageError("Give -o OUT, --page DIR, or both.")
    check_kinds(graph=output, folder=page)
    if output is not None:
        if is_onnx(model):
            raise ValueError(f"{model} is an ONNX file already; export a model file")
        check_different_files(output, read=(model,))
        check_output(output, overwrite=force)
    with tempfile.TemporaryDirectory(prefix="tollad-") as folder:
        graph = model if is_onnx(model) else os.path.join(folder, "model.onnx")
        if graph != model:
            detector = load(model, None)
            if not hasattr(detector, "to_onnx"):
                raise ValueError(
                    f"{printable(model)}: is of fit --method, which has no ONNX graph; score with the model itself"
                )
            with temporary_space():
                detector.to_onnx(graph)
        if page is not None:
            from tollad.serve.folder import write_folder

            write_folder(graph, page, web, name=Path(model).stem, overwrite=force)
            click.echo(f"Wrote {printable(os.path.join(page, 'index.html'))}")
        if output is not None:
            from tollad.io.files import atomic_write

            with atomic_write(output, overwrite=force) as file:
                file.write(Path(graph).read_bytes())
            click.echo(f"Wrote the ONNX graph {printable(output)}")
