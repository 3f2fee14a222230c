"""``tollad demo``."""

from __future__ import annotations

from dataclasses import asdict

import click

from tollad.cli.shared import check_kinds, json_option, print_result, threads_option


@click.command()
@click.option("--out", default="tollad-demo", show_default=True, metavar="DIR", help="Folder for what it writes.")
@threads_option
@json_option
def demo(out: str, as_json: bool) -> None:
    """Find malignant tumours, having seen only benign ones.

    Fits on half of the benign rows of scikit-learn's breast cancer table, and scores all other rows.
    """
    from tollad.cli.card import aligned
    from tollad.cli.demonstration import run

    check_kinds(folder=out)
    result = asdict(run(out, verbose=1))
    text = (
        "AUROC {auroc:.3f} over {n_normal} benign and {n_anomalies} malignant rows, after {n_trained} benign ones\n"
        "average precision {average_precision:.3f}\n"
        "false-alarm rate {false_alarm_rate:.3f} at the threshold {threshold:.4g}\n"
        "most anomalous rows:\n"
    ).format(**result)
    for row, value, truth in result["most_anomalous"]:
        text += f"  row {row:<4} score {value:<8.4g} {truth}\n"
    files = {kind: result[kind] for kind in ("table", "model", "scores")}
    files["picture"] = result["picture"] or "none: it needs matplotlib; pip install 'tollad[plot]'"
    text += aligned(files)
    print_result(as_json, result, text)
