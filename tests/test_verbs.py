"""The functions behind the commands: every kind of input, in order, with the same answer by every door."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import fourfold
from fourfold import verbs
from fourfold.evaluate.crops import Crops
from fourfold.evaluate.views import CENTRE
from fourfold.verbs import Answer, Failure, Model

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@pytest.fixture(scope="module")
def model() -> Model:
    return verbs.load("resnet20-cifar10")


def photo(seed: int, height: int = 40, width: int = 60) -> np.ndarray:
    """(H,W,3): patches of colour, different for every seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def write(path: Path, seed: int, **size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo(seed, **size)).save(path)
    return path


def standard_input(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def answered(results: list[Answer | Failure]) -> list[Answer]:
    assert all(isinstance(result, Answer) for result in results), results
    return [result for result in results if isinstance(result, Answer)]


def tops(results: list[Answer | Failure]) -> list[tuple[verbs.Guess, ...]]:
    return [result.top for result in answered(results)]


def test_an_answer_is_the_softmax_of_the_network_sorted(model: Model, tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", seed=1, height=32, width=32)

    (answer,) = answered(verbs.classify(path, model, top=10))

    mean, std = torch.tensor([125.307, 122.95, 113.865]), torch.tensor([62.993, 62.089, 66.705])  # of CIFAR-10
    pixels = (torch.tensor(photo(1, 32, 32)) - mean) / std
    expected = model.network.classifier(pixels.permute(2, 0, 1)[None]).softmax(1)[0]
    probabilities = expected.sort(descending=True).values.tolist()
    assert [guess.index for guess in answer.top] == expected.argsort(descending=True).tolist()
    assert [guess.label for guess in answer.top] == [CLASSES[guess.index] for guess in answer.top]
    assert [guess.probability for guess in answer.top] == pytest.approx(probabilities, abs=1e-6)
    assert (answer.source, answer.model, answer.protocol) == (str(path), "resnet20-cifar10", "centre 32 of shorter side 32")


def test_files_bytes_arrays_tensors_and_standard_input_of_one_image_agree(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.png", seed=2)
    standard_input(monkeypatch, path.read_bytes())

    kinds = [path, str(path), path.read_bytes(), photo(2), torch.tensor(photo(2)).permute(2, 0, 1), Image.open(path), "-"]
    results = verbs.classify(kinds, model)

    names = [str(path), str(path), "<bytes>", "<ndarray>", "<Tensor>", "<PngImageFile>", "-"]
    assert [result.source for result in results] == names
    for top in tops(results):
        assert [guess.label for guess in top] == [guess.label for guess in tops(results)[0]]
        assert top[0].probability == pytest.approx(tops(results)[0][0].probability, abs=1e-6)


def test_one_input_needs_no_list(model: Model) -> None:
    array = photo(3)

    assert tops(verbs.classify(array, model)) == tops(verbs.classify([array], model))
    assert len(verbs.classify(torch.tensor(array).permute(2, 0, 1), model)) == 1


def test_the_package_the_model_and_the_name_give_the_same_answer(model: Model, tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", seed=4)

    expected = tops(verbs.classify(path, model))

    assert tops(model.classify(path)) == expected
    assert tops(fourfold.classify(path)) == expected
    assert tops(fourfold.classify(str(path), "resnet20-cifar10")) == expected


def test_answers_do_not_depend_on_what_else_is_asked_and_keep_its_order(model: Model, tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{seed}.png", seed, height=30 + seed, width=90 - seed) for seed in range(37)]  # two batches
    paths.reverse()

    together = answered(verbs.classify(paths, model, top=10))

    assert [answer.source for answer in together] == [str(path) for path in paths]
    for path, answer in list(zip(paths, together, strict=True))[::6]:
        alone = {guess.label: guess.probability for guess in answered(verbs.classify(path, model, top=10))[0].top}
        assert {guess.label: guess.probability for guess in answer.top} == pytest.approx(alone, abs=1e-6)


def test_bad_inputs_among_good_ones_fail_alone_and_in_their_place(model: Model, tmp_path: Path) -> None:
    good = write(tmp_path / "good.png", seed=5)
    (tmp_path / "empty.png").touch()
    bad_array = np.zeros((8, 8), np.uint8)

    results = verbs.classify([tmp_path / "empty.png", good, b"junk", bad_array, "gone.jpg", "a" * 300, "", good], model)

    assert [isinstance(result, Answer) for result in results] == [False, True, False, False, False, False, False, True]
    errors = [result.error for result in results if isinstance(result, Failure)]
    words = ["empty.png is empty", "not an image", "shape (8, 8)", "gone.jpg does not exist", "aaa", "empty name"]
    assert all(word in error for word, error in zip(words, errors, strict=True))


@pytest.mark.parametrize(("top", "count"), [(1, 1), (3, 3), (10, 10), (99, 10)])
def test_as_many_classes_are_named_as_asked_for(model: Model, top: int, count: int) -> None:
    (answer,) = answered(verbs.classify(photo(6), model, top=top))

    assert len(answer.top) == count
    if count == 10:
        assert sum(guess.probability for guess in answer.top) == pytest.approx(1, abs=1e-5)


def test_another_protocol_may_be_given(model: Model) -> None:
    (answer,) = answered(verbs.classify(photo(7), model, protocol=Crops((40,), 32, CENTRE, are_mirrored=False)))

    (cropped,) = answered(verbs.classify(photo(7)[4:36, 14:46], model))
    assert answer.protocol == "centre 32 crop of shorter side 40"
    assert answer.top[0].probability == pytest.approx(cropped.top[0].probability, abs=1e-6)


def test_folders_are_searched_to_the_bottom_in_sorted_order(tmp_path: Path) -> None:
    wanted = [write(tmp_path / name, 1) for name in ("a/z.png", "b/c/d.JPG", "b/e.webp", "f.png")]
    write(tmp_path / ".hidden" / "x.png", 1)
    write(tmp_path / ".y.png", 1)
    (tmp_path / "notes.txt").write_text("no image", encoding="utf-8")
    (tmp_path / "folder.png").mkdir()

    assert verbs.find([tmp_path]) == wanted
    assert verbs.find([str(tmp_path)]) == wanted


def test_patterns_stand_for_files_in_sorted_order_and_not_for_folders(tmp_path: Path) -> None:
    wanted = [write(tmp_path / name, 1) for name in ("a1.png", "a2.png", "sub/a3.png")]
    (tmp_path / "a9.png").mkdir()

    assert verbs.find([str(tmp_path / "a*.png")]) == wanted[:2]
    assert verbs.find([str(tmp_path / "**" / "*.png")]) == wanted
    assert verbs.find([str(tmp_path / "a[2-3].png"), "x.jpg"]) == [wanted[1], Path("x.jpg")]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    wanted = [write(tmp_path / "photo[1].png", 1), write(tmp_path / "photo1.png", 1)]

    assert verbs.find([str(wanted[0])]) == wanted[:1]


def test_what_stands_for_nothing_becomes_a_failure(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    found = verbs.find([tmp_path / "empty", str(tmp_path / "*.none")])

    assert [failure.error for failure in found if isinstance(failure, Failure)] == [
        f"no images in folder {tmp_path / 'empty'}",
        f"nothing matches the pattern {tmp_path / '*.none'}",
    ]


def test_accuracy_is_what_counting_the_answers_by_hand_gives(model: Model, tmp_path: Path) -> None:
    for seed in range(24):
        write(tmp_path / CLASSES[seed % 4] / f"{seed}.png", seed)
    (tmp_path / "bird" / "broken.jpg").write_bytes(b"no image")

    result = model.evaluate(tmp_path)

    first = best = 0
    for seed in range(24):
        top = tops(verbs.classify(tmp_path / CLASSES[seed % 4] / f"{seed}.png", model))[0]
        labels = [guess.label for guess in top]
        first += labels[0] == CLASSES[seed % 4]
        best += CLASSES[seed % 4] in labels
    assert 0 < first < best < 24  # so that the counts tell top-1, top-5 and everything apart
    assert (result.images, result.top1, result.top5) == (24, 100 * first / 24, 100 * best / 24)
    assert [Path(broken.name).name for broken in result.broken] == ["broken.jpg"]


@pytest.mark.parametrize("split", ["test", "val"])
def test_the_test_split_is_measured_where_there_is_one(model: Model, tmp_path: Path, split: str) -> None:
    write(tmp_path / "train" / "cat" / "1.png", 1)
    write(tmp_path / split / "cat" / "1.png", 1)
    write(tmp_path / split / "dog" / "2.png", 2)

    assert model.evaluate(str(tmp_path)).images == 2


def test_networks_weights_and_models_are_explained_alike(model: Model) -> None:
    by_network = verbs.explain("resnet20")

    assert by_network.parameters == 269_722  # ResNet 4.2: 0.27M
    for explanation in (verbs.explain("resnet20-cifar10"), model.explain(), verbs.explain(model)):
        assert explanation.layers == by_network.layers
    assert verbs.explain("vgg16").parameters == 138_357_544


def test_options_and_size_change_what_is_explained() -> None:
    assert verbs.explain("resnet20", options={"classes": 100}).parameters == 269_722 + 90 * 65
    assert verbs.explain("resnet20", 64).layers[0].output == (16, 64, 64)


@pytest.mark.parametrize("size", [0, -3, 10**9, 10**20])
def test_a_size_that_no_image_has_is_an_error(size: int) -> None:
    with pytest.raises(ValueError, match=rf"size is {size}; give the side of an image, 1 to 100,000 pixels"):
        verbs.explain("resnet20", size)


def test_a_heatmap_is_that_of_the_class_asked_for(model: Model, tmp_path: Path) -> None:
    heat = verbs.class_heat(model, write(tmp_path / "a.png", seed=8), "cat")

    assert heat.label == "cat"
    assert heat.probability == pytest.approx(heat.map.mean().item(), abs=1e-6)
    with pytest.raises(ValueError, match=r"gone\.png does not exist"):
        verbs.class_heat(model, "gone.png")


def test_an_answer_draws_its_photo_with_a_bar_for_each_class(model: Model) -> None:
    answer = answered(verbs.classify(photo(9), model, top=3))[0]

    assert answer.plot().width == 360  # small photos are enlarged so that captions can be read


def test_verbs_stay_functions_whatever_is_imported_before_or_after_them() -> None:
    """`train`, `evaluate`, `explain` and `models` are also the names of packages."""
    code = (
        "import fourfold.train.loop, fourfold.explain, fourfold.models.vgg; import fourfold; "
        "from fourfold.evaluate import runner; names = ('train', 'evaluate', 'explain', 'models', 'classify'); "
        "assert all(type(getattr(fourfold, n)).__name__ == 'function' for n in names); "
        "assert fourfold.explain('resnet20').parameters == fourfold.explain('resnet20').parameters == 269722"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
