"""``tollad info``."""

from __future__ import annotations

import click

from tollad.cli.shared import check_kinds, force_option, json_option, print_result


@click.command()
@click.argument("model")
@click.option("--card", "markdown", metavar="FILE", help="Write a model card in Markdown, too: CARD.md.")
@force_option
@json_option
def info(model: str, markdown: str | None, force: bool, as_json: bool) -> None:
    """Describe a model file."""
    from tollad.cli import card, images, methods
    from tollad.cli.modelcard import model_card
    from tollad.io import artifact, files
    from tollad.io.outputs import check_different_files

    check_different_files(markdown, read=(model,))
    check_kinds(card=markdown)
    shows = {"image model": images, "method model": methods}.get(artifact.described(model).get("kind", ""), card)
    if markdown is not None and shows is methods:
        raise ValueError(f"{model}: is of fit --method, which has no model card in Markdown; leave out --card")
    shown = shows.read_card(model)
    if markdown is not None:
        with files.atomic_write(markdown, overwrite=force) as file:
            file.write(model_card(model, shown).encode())
    print_result(as_json, shown, shows.format_card(shown))
