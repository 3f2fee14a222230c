"""``tollad info``."""

from __future__ import annotations

import click

from tollad.cli.shared import json_option, print_result


@click.command()
@click.argument("model")
@json_option
def info(model: str, as_json: bool) -> None:
    """Show what a model file says about itself."""
    from tollad.cli import card, images
    from tollad.io import artifact

    shows = images if artifact.kind_of(model) == "image model" else card
    shown = shows.read_card(model)
    print_result(as_json, shown, shows.format_card(shown))
