from __future__ import annotations

import pytest

from tollad.bench import recipes
from tollad.bench.recipes import BUDGETS, names, read_recipe
from tollad.bench.spec import Trial


@pytest.mark.parametrize("name", names())
def test_every_recipe_is_one_that_its_method_takes(name):
    recipe = read_recipe(name)

    assert recipe.source
    assert recipe.protocol
    for dataset in recipe.sets:
        for budget in BUDGETS:
            Trial.from_values({"protocol": "any", "dataset": dataset, **recipe.values(dataset, budget)})
            assert recipe.minutes(dataset, budget) > 0


def test_a_reduced_budget_changes_the_published_one_in_part():
    recipe = read_recipe("dcae")
    published, reduced = (recipe.values("mnist", budget) for budget in BUDGETS)

    assert reduced["settings"]["epochs"] < published["settings"]["epochs"]
    assert reduced["settings"]["scale"] == published["settings"]["scale"] == "contrast"
    assert reduced["n_validation"] == 2000
    assert recipe.values("arrhythmia", "reduced") == recipe.values("arrhythmia", "published")
    assert recipe.minutes("arrhythmia", "reduced") == recipe.minutes("arrhythmia", "published")


def test_what_is_not_there_is_said(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"no recipe 'other'; there are .*dcae"):
        read_recipe("other")
    with pytest.raises(ValueError, match="DCAE has no recipe for cifar100; it has some for arrhythmia"):
        read_recipe("dcae").values("cifar100", "published")
    with pytest.raises(ValueError, match="no budget 'large'"):
        read_recipe("dcae").values("mnist", "large")
    monkeypatch.setattr(recipes, "_FOLDER", tmp_path)
    (tmp_path / "odd.toml").write_text('method = "DCAE"\nsource = ""\nprotocol = ""\n[sets.mnist]\nepoch = 3\n')
    with pytest.raises(ValueError, match="recipe odd, mnist: unknown key 'epoch'"):
        read_recipe("odd")


@pytest.mark.parametrize(
    ("method", "shape", "dataset", "fields"),
    [
        ("DeepSVDD", (7,), "arrhythmia", {"scale": "minmax", "batch_size": 100}),
        ("DeepSVDD", (1, 20, 20), "mnist", {"scale": "contrast"}),
        ("DeepSVDD", (3, 32, 32), "cifar10", {"scale": "contrast"}),
        ("GeoTrans", (1, 28, 28), "fashion_mnist", {"scale": "signed"}),
        ("KDE", (28, 28), "mnist", {"scale": "unit+pca"}),
        ("KDE", (3,), "arrhythmia", {"scale": "standardise"}),
        ("NearestNeighbours", (3,), "", {"scale": "standardise"}),
        ("NearestNeighbours", (1, 9, 9), "", {"scale": "unit"}),
    ],
)
def test_rows_of_no_paper_get_the_recipe_of_the_set_most_like_them(method, shape, dataset, fields):
    found, settings = recipes.recipe_for(method, shape, "published")
    assert found == dataset
    assert fields.items() <= settings.items()
