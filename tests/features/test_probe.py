"""Probes against scikit-learn's own pipeline, and against made clusters that can be told apart."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_recall_fscore_support
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.svm import LinearSVC
from torch import Tensor

from fourfold.features.probe import COSTS, PROBE, Probe, evaluate_probe, fit_probe, read_probe, write_probe

HEADER = {"network": "net", "layer": "fc7", "width": 12}


def clusters(count: int, classes: int, seed: int, spread: float = 0.9) -> tuple[Tensor, Tensor]:
    """float32 (N,12) and labels; lengths differ, so that normalising matters."""
    centres = torch.randn(classes, 12, generator=torch.Generator().manual_seed(99))
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    vectors = centres[labels] + spread * torch.randn(count, 12, generator=draw)
    return vectors * torch.rand(count, 1, generator=draw).mul(5).exp(), labels


def fitted(kind: str = "svm", classes: int = 4, count: int = 120) -> Probe:
    names = [f"class {index}" for index in range(classes)]
    return fit_probe(*clusters(count, classes, 0), names, HEADER, seed=3, kind=kind)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize(("kind", "estimator"), [("svm", LinearSVC), ("logistic", LogisticRegression)])
def test_scores_and_cost_are_those_of_the_pipeline_of_scikit_learn(kind: str, estimator: type, classes: int) -> None:
    probe = fitted(kind, classes)
    features, labels = clusters(120, classes, 0)
    unseen, truth = clusters(500, classes, 1)
    search = GridSearchCV(
        estimator(max_iter=10_000, random_state=3),
        {"C": list(COSTS)},
        cv=StratifiedKFold(5, shuffle=True, random_state=3),
    )
    pipeline = make_pipeline(Normalizer(), search)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of rounds that do not suffice
        pipeline.fit(features.double().numpy(), labels.numpy())
    assert probe.cost == search.best_params_["C"]
    shares = [share for _, share in probe.chances]
    assert shares == pytest.approx(100 * search.cv_results_["mean_test_score"])
    theirs = torch.from_numpy(pipeline.predict(unseen.double().numpy()))
    assert (probe.predict(unseen) == theirs).float().mean() > 0.995  # float32 may turn a tie
    assert (
        evaluate_probe(probe, unseen, truth).accuracy >= 100 * pipeline.score(unseen.double().numpy(), truth.numpy()) - 0.2
    )
    if kind == "logistic":
        expected = torch.from_numpy(pipeline.predict_proba(unseen.double().numpy())).float()
        torch.testing.assert_close(probe.scores(unseen).softmax(1), expected, rtol=1e-3, atol=1e-4)


def test_equal_accuracies_take_the_lowest_cost() -> None:
    features, labels = clusters(40, 2, 0, spread=0.01)
    probe = fit_probe(features, labels, ["a", "b"], HEADER, seed=0, costs=[10.0, 1.0, 100.0])
    assert [share for _, share in probe.chances] == [100.0] * 3
    assert probe.cost == 1.0


def test_what_cannot_be_learned_stays_at_chance() -> None:
    features, labels = clusters(200, 4, 0)
    shuffled = labels[torch.randperm(200, generator=torch.Generator().manual_seed(5))]
    probe = fit_probe(features, shuffled, list("abcd"), HEADER, seed=0)
    unseen, truth = clusters(400, 4, 1)
    assert evaluate_probe(probe, unseen, truth).accuracy < 50
    assert evaluate_probe(fitted(), unseen, truth).accuracy > 75


def test_scores_count_every_class_and_come_with_an_interval() -> None:
    probe = fitted()
    unseen, truth = clusters(90, 4, 1)
    found = evaluate_probe(probe, unseen, truth)
    guesses = probe.predict(unseen)
    precision, recall, _, support = precision_recall_fscore_support(truth, guesses, labels=range(4), zero_division=0.0)  # pyright: ignore
    assert [each.precision for each in found.per_class] == pytest.approx(list(precision))  # pyright: ignore
    assert [each.recall for each in found.per_class] == pytest.approx(list(recall))  # pyright: ignore
    assert [each.support for each in found.per_class] == list(support)  # pyright: ignore
    assert found.images == 90
    assert found.accuracy == pytest.approx(100 * float((guesses == truth).float().mean()))
    assert found.interval.low < found.accuracy < found.interval.high
    with pytest.raises(ValueError, match="no image to test on"):
        evaluate_probe(probe, unseen[:0], truth[:0])


def test_a_small_class_lowers_the_number_of_parts() -> None:
    features, labels = clusters(40, 2, 0)
    kept = (labels == 0) | (torch.arange(40) < 4)
    probe = fit_probe(features[kept], labels[kept], ["a", "b"], HEADER, seed=0)
    assert probe.classes == ("a", "b")
    with pytest.raises(ValueError, match="class b has 1 images"):
        fit_probe(
            features[:21:2].index_put((torch.tensor(0),), features[1]),
            torch.tensor([1] + [0] * 10),
            list("ab"),
            HEADER,
            seed=0,
        )


def test_the_seed_decides_the_parts() -> None:
    features, labels = clusters(60, 4, 0)
    one, again, other = (fit_probe(features, labels, list("abcd"), HEADER, seed=seed) for seed in (1, 1, 2))
    assert one.chances == again.chances
    assert torch.equal(one.weights, again.weights)
    assert one.chances != other.chances


def test_a_probe_comes_back_from_its_folder(tmp_path: Path) -> None:
    probe = fitted("logistic")
    write_probe(tmp_path / "deep" / "p", probe)
    again = read_probe(tmp_path / "deep" / "p")
    unseen, _ = clusters(20, 4, 1)
    assert torch.equal(again.weights, probe.weights)
    torch.testing.assert_close(again.scores(unseen), probe.scores(unseen))
    for key in ("classes", "kind", "cost", "chances", "header"):
        assert getattr(again, key) == getattr(probe, key)
    assert sorted(path.name for path in (tmp_path / "deep" / "p").iterdir()) == ["probe.json", "probe.safetensors"]


def test_a_damaged_probe_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no probe\.json"):
        read_probe(tmp_path)
    write_probe(tmp_path, fitted())
    record = json.loads((tmp_path / PROBE).read_text(encoding="utf-8"))
    for change in ({"classes": ["a"]}, {"header": {}}, {"chances": 3}, {"cost": "low"}):
        (tmp_path / PROBE).write_text(json.dumps({**record, **change}), encoding="utf-8")
        with pytest.raises(ValueError, match="is damaged"):
            read_probe(tmp_path)
    (tmp_path / PROBE).write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="is damaged"):
        read_probe(tmp_path)


def test_what_makes_no_probe_is_refused() -> None:
    features, labels = clusters(40, 2, 0)
    with pytest.raises(ValueError, match="no probe 'tree'; give svm or logistic"):
        fit_probe(features, labels, list("ab"), HEADER, seed=0, kind="tree")
    with pytest.raises(ValueError, match="class c has 0 images"):
        fit_probe(features, labels, list("abc"), HEADER, seed=0)
    with pytest.raises(ValueError, match="1 classes cannot be told apart"):
        fit_probe(features, 0 * labels, ["a"], HEADER, seed=0)
    with pytest.raises(ValueError, match="infinite"):
        fit_probe(features / 0, labels, list("ab"), HEADER, seed=0)
    with pytest.raises(ValueError, match="costs"):
        fit_probe(features, labels, list("ab"), HEADER, seed=0, costs=[0.0])
    with pytest.raises(ValueError, match="features"):
        fitted().scores(features[:, :5])
