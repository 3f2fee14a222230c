"""``tollad info``."""

from __future__ import annotations

import click

from tollad.cli.shared import json_option, print_result


@click.command()
@click.argument("model")
@json_option
def info(model: str, as_json: bool) -> None:
    """Show what a model file says about itself."""
    from tollad.cli.card import format_card, read_card

    card = read_card(model)
    print_result(as_json, card, format_card(card))
