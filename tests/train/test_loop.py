"""What a run keeps, notes and tells: on validation curves made by hand, and against what its watchers saw."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from fourfold.data.augment import Flip, PadCrop
from fourfold.data.examples import Examples
from fourfold.data.sizes import Alternate, Growing, Sizes
from fourfold.images import Pixels, channel_pixels
from fourfold.models.base import Classifier, MeanHead, sequential
from fourfold.train import checkpoint, journal
from fourfold.train.checkpoint import Point
from fourfold.train.initialise import He
from fourfold.train.journal import Epoch
from fourfold.train.loop import BEST, LAST, Moment, Settings, Watchers, fit, is_over
from fourfold.train.recipe import Recipe
from fourfold.train.schedule import Plateau, Steps
from fourfold.train.task import validate

HALF = Pixels(mean=(127.5,) * 3, std=(60.0,) * 3)
BIAS = "head.fc.fc.bias"
FIXED = Recipe("made", 4, 4, 8, lambda _progress: 0.0, lambda _network, _generator: None, (), channel_pixels, 0.0, 0.0)
LEARNING = Recipe("made", 24, 4, 20, Steps(0.05, (0.5,)), He(), (PadCrop(2), Flip()), channel_pixels, 0.9, 1e-2)


def red(levels: Sequence[int]) -> Examples:
    images = torch.zeros(len(levels), 3, 4, 4, dtype=torch.uint8)
    images[:, 0] = torch.tensor(levels, dtype=torch.uint8).view(-1, 1, 1)
    return Examples(images, torch.zeros(len(levels), dtype=torch.int64), ("dark", "red"))


def threshold_network() -> Classifier:
    """Says "red" where the red of an image is above the bias of "dark"."""
    network = Classifier(nn.Sequential(), MeanHead(sequential({"fc": nn.Linear(3, 2)}), 4), input_size=4)
    network.load_state_dict({"head.fc.fc.weight": torch.tensor([[0.0, 0, 0], [1, 0, 0]]), BIAS: torch.zeros(2)})
    return network


def play(
    curve: Sequence[float],
    folder: Path,
    recipe: Recipe = FIXED,
    settings: Settings | None = None,
    *,
    tell: Callable[[Moment], None] = lambda _moment: None,
    stop: int = 0,
) -> Point:
    """A run whose validation error after epoch i, which is one step long, is curve[i - 1], in tenths.

    The tenths of the bias of "dark" are 5, and its hundredths the epoch, so that weights tell where they come from.
    """
    network = threshold_network()

    def watch(moment: Moment) -> None:
        network.state_dict()[BIAS][0] = 100.5 - 100 * curve[moment.step - 1] + moment.step / 100
        tell(moment)
        if moment.step == stop:
            os.kill(os.getpid(), signal.SIGINT)

    val = red(range(10, 101, 10))
    return fit(
        network,
        Pixels(),
        recipe,
        red([50] * 4),
        val,
        folder,
        settings=settings or Settings(0),
        watchers=Watchers(step=watch),
    )


def epoch_of(path: Path) -> int:
    """The epoch whose weights these are."""
    return round(100 * (load_file(path)[BIAS][0].item() - 0.5)) % 10


def errors_of(folder: Path) -> list[float | None]:
    return [line.val_error for line in journal.read(folder)]


@pytest.mark.parametrize(
    ("curve", "best"),
    [
        ((0.9, 0.5, 0.2, 0.6, 0.4), 3),
        ((0.9, 0.5, 0.3, 0.2, 0.1), 5),
        ((0.1, 0.5, 0.3, 0.6, 0.4), 1),
        ((0.9, 0.3, 0.5, 0.3, 0.3), 2),
        ((1.0, 1.0, 1.0, 1.0, 1.0), 1),
        ((0.0, 0.0, 0.0, 0.0, 0.0), 1),
    ],
    ids=["middle", "last", "first", "first of three", "all wrong", "all right"],
)
def test_the_best_weights_and_the_last_are_kept(tmp_path: Path, curve: tuple[float, ...], best: int) -> None:
    point = play(curve, tmp_path, replace(FIXED, steps=5))

    assert epoch_of(tmp_path / "weights.safetensors") == best
    assert epoch_of(tmp_path / "last.safetensors") == 5
    assert point.val_errors == pytest.approx(curve)
    assert errors_of(tmp_path) == list(point.val_errors)


def test_the_last_weights_are_kept_where_one_must_not_choose(tmp_path: Path) -> None:
    play((0.9, 0.2, 0.5), tmp_path, replace(FIXED, steps=3), Settings(0, keeps_best=False))

    assert (tmp_path / BEST).read_bytes() == (tmp_path / LAST).read_bytes()
    assert epoch_of(tmp_path / BEST) == 3
    assert errors_of(tmp_path) == pytest.approx([0.9, 0.2, 0.5])


def test_without_validation_the_last_weights_are_kept(tmp_path: Path) -> None:
    fit(threshold_network(), Pixels(), FIXED, red([50] * 4), None, tmp_path, settings=Settings(0))

    assert (tmp_path / BEST).read_bytes() == (tmp_path / LAST).read_bytes()
    assert errors_of(tmp_path) == [None] * 8


def test_the_best_of_before_and_after_a_stop_is_kept(tmp_path: Path) -> None:
    curve = (0.9, 0.2, 0.5, 0.3, 0.4)
    with pytest.raises(KeyboardInterrupt):
        play(curve, tmp_path, replace(FIXED, steps=5), stop=2)
    play(curve, tmp_path, replace(FIXED, steps=5))

    assert epoch_of(tmp_path / BEST) == 2
    assert epoch_of(tmp_path / LAST) == 5


CURVE = (0.9, 0.3, 0.5, 0.3, 0.2, 0.4, 0.4, 0.1)


@pytest.mark.parametrize(
    ("patience", "every", "ends"), [(1, 1, 3), (2, 1, 4), (3, 1, 8), (1, 2, 4), (1, 3, 8), (None, 1, 8)]
)
def test_training_ends_when_validations_bring_no_new_best(
    tmp_path: Path, patience: int | None, every: int, ends: int
) -> None:
    point = play(CURVE, tmp_path, replace(FIXED, patience=patience), Settings(0, validate_every=every))

    assert point.step == ends
    assert [line.step for line in journal.read(tmp_path)] == list(range(1, ends + 1))
    assert epoch_of(tmp_path / LAST) == ends


@pytest.mark.parametrize("stop", [1, 2, 3, 4])
def test_a_resumed_run_loses_patience_in_the_same_place(tmp_path: Path, stop: int) -> None:
    recipe = replace(FIXED, patience=2)  # which ends it after four
    with pytest.raises(KeyboardInterrupt):
        play(CURVE, tmp_path, recipe, stop=stop)
    point = play(CURVE, tmp_path, recipe)
    again = play(CURVE, tmp_path, recipe, tell=lambda moment: pytest.fail(f"step {moment.step} was done again"))

    assert point.step == again.step == 4
    assert errors_of(tmp_path) == pytest.approx(CURVE[:4])
    assert epoch_of(tmp_path / BEST) == 2


@pytest.mark.parametrize(
    ("errors", "patience", "over"),
    [((), 1, False), ((0.5,), 1, False), ((0.5, 0.5), 1, True), ((0.5, 0.6, 0.4), 2, False), ((0.5, 0.6, 0.5), 2, True)],
)
def test_a_run_is_over_after_so_many_validations_that_are_no_better(
    errors: tuple[float, ...], patience: int, over: bool
) -> None:
    assert is_over(replace(FIXED, patience=patience), Point(3, "", val_errors=errors)) is over
    assert not is_over(FIXED, Point(3, "", val_errors=errors))
    assert is_over(FIXED, Point(8, "", val_errors=errors))


@pytest.mark.parametrize("stop", [0, 1, 3, 4, 6])
def test_a_plateau_lowers_the_rate_alike_in_a_resumed_run(tmp_path: Path, stop: int) -> None:
    recipe = replace(FIXED, rate=Plateau(1e-30, drops=2, patience=1))  # too small to move a weight
    if stop:
        with pytest.raises(KeyboardInterrupt):
            play(CURVE, tmp_path, recipe, stop=stop)
    play(CURVE, tmp_path, recipe)

    # epochs 3, 4 and 6, 7 are no better than the best before; the rate drops after 3 and 4, and no third time
    assert [line.rate for line in journal.read(tmp_path)] == pytest.approx([1e-30] * 3 + [1e-31] + [1e-32] * 4, rel=1e-9)


def test_watchers_see_the_best_error_of_the_validations_before(tmp_path: Path) -> None:
    best: list[float | None] = []
    with pytest.raises(KeyboardInterrupt):
        play(CURVE, tmp_path, stop=4, tell=lambda moment: best.append(moment.best))
    play(CURVE, tmp_path, tell=lambda moment: best.append(moment.best))

    assert best[0] is None
    assert best[1:] == pytest.approx([0.9, 0.3, 0.3, 0.3, 0.2, 0.2, 0.2])


def made_examples(count: int = 26) -> Examples:
    generator = torch.Generator().manual_seed(count)
    images = torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8, generator=generator)
    return Examples(images, torch.randint(0, 3, (count,), generator=generator), ("a", "b", "c"))


def tiny() -> Classifier:
    layers = {"conv": nn.Conv2d(3, 5, 3), "bn": nn.BatchNorm2d(5), "relu": nn.ReLU()}
    return Classifier(sequential(layers), MeanHead(sequential({"fc": nn.Linear(5, 3)}), 6), input_size=8)


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("every", [1, 2, 3, 9])
def test_the_journal_has_the_means_of_every_epoch_and_validations_where_asked(tmp_path: Path, every: int) -> None:
    moments: list[Moment] = []
    lines: list[Epoch] = []
    watchers, settings = Watchers(moments.append, lines.append), Settings(3, validate_every=every)
    fit(tiny(), HALF, LEARNING, made_examples(), made_examples(9), tmp_path, settings=settings, watchers=watchers)

    ends = [6, 12, 18, 20]  # 26 images are six batches of four, and the last epoch has two of them
    assert lines == journal.read(tmp_path)
    assert [(line.epoch, line.step) for line in lines] == list(enumerate(ends, 1))
    assert [moment.step for moment in moments] == list(range(1, 21))
    assert {moment.steps for moment in moments} == {20}
    for line, start in zip(lines, [0, *ends], strict=False):
        epoch = moments[start : line.step]
        assert line.train_loss == pytest.approx(np.mean([moment.loss for moment in epoch]))
        assert line.train_error == pytest.approx(np.mean([moment.error for moment in epoch]))
        assert line.rate == epoch[-1].rate == pytest.approx(0.05 if line.step < 11 else 0.005)
        is_validated = line.epoch % every == 0 or line.step == 20
        assert (line.val_loss is not None, line.val_error is not None) == (is_validated, is_validated)
    text = (tmp_path / "metrics.csv").read_text(encoding="utf-8").splitlines()
    assert text[0] == "epoch,step,rate,train_loss,train_error,val_loss,val_error,seconds"
    assert len(text) == 5


def test_the_last_validation_is_that_of_the_last_weights(tmp_path: Path) -> None:
    network = tiny()
    fit(network, HALF, LEARNING, made_examples(), made_examples(9), tmp_path, settings=Settings(3))

    last = journal.read(tmp_path)[-1]
    assert network.training
    assert (last.val_loss, last.val_error) == validate(network, HALF, made_examples(9), 8)
    assert equal(load_file(tmp_path / LAST), weights_of(network))
    best = tiny()
    best.load_state_dict(load_file(tmp_path / BEST))
    assert validate(best, HALF, made_examples(9), 8)[1] == min(error for error in errors_of(tmp_path) if error is not None)


def test_a_mean_of_the_weights_is_what_is_validated_and_kept(tmp_path: Path) -> None:
    network, recipe = tiny(), replace(LEARNING, average=0.8)
    mean: dict[str, Tensor] = {}
    means: list[dict[str, Tensor]] = []

    def watch(moment: Moment) -> None:
        kept = min(0.8, (1 + moment.step) / (10 + moment.step))
        for name, value in network.state_dict().items():
            before = mean.get(name, start[name])
            mean[name] = value.double() if name.endswith("tracked") else kept * before + (1 - kept) * value.double()
        means.append(dict(mean))

    drawn = tiny()
    fit(drawn, HALF, replace(recipe, steps=1, rate=Steps(0.0, ())), made_examples(), None, tmp_path, settings=Settings(3))
    start = {name: value.double() for name, value in tiny_start(drawn).items()}
    for path in tmp_path.iterdir():
        path.unlink()
    settings = Settings(3, keeps_best=True)
    fit(network, HALF, recipe, made_examples(), made_examples(9), tmp_path, settings=settings, watchers=Watchers(step=watch))

    last, state = load_file(tmp_path / LAST), checkpoint.load(tmp_path)
    assert state is not None
    assert equal(state.part("average"), last)
    assert equal(weights_of(network), last)
    for name, value in means[19].items():
        torch.testing.assert_close(last[name].double(), value, rtol=1e-4, atol=1e-6)  # twenty sums in float32
    assert not torch.allclose(state.part("network")["trunk.conv.weight"], last["trunk.conv.weight"], rtol=0.01)
    errors = errors_of(tmp_path)
    for epoch, end in enumerate([6, 12, 18, 20]):
        network.load_state_dict({name: value.float() for name, value in means[end - 1].items()})
        assert validate(network, HALF, made_examples(9), 8)[1] == errors[epoch]
    best = [6, 12, 18, 20][errors.index(min(error for error in errors if error is not None))]
    for name, value in load_file(tmp_path / BEST).items():
        torch.testing.assert_close(value.double(), means[best - 1][name], rtol=1e-4, atol=1e-6)


def tiny_start(drawn: Classifier) -> dict[str, Tensor]:
    """The weights that a run begins with: what one step at a rate of zero leaves, without that step's statistics."""
    fresh = weights_of(tiny())
    return {name: fresh[name] if "running" in name else value for name, value in weights_of(drawn).items()}


def test_the_mean_image_is_kept_with_the_weights(tmp_path: Path) -> None:
    mean = torch.rand(3, 4, 4)
    fit(threshold_network(), Pixels(mean_image=mean), FIXED, red([50] * 4), None, tmp_path, settings=Settings(0))

    assert any(torch.equal(value, mean) for value in load_file(tmp_path / BEST).values())


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        (Alternate(0.75), [8] * 6 + [6] * 6 + [8] * 6 + [6] * 2),
        (Growing(start=0.5, until=0.6), [4] * 12 + [8] * 8),  # the third epoch begins at 12 of 20
        (Growing(start=0.5, until=0.61), [4] * 18 + [8] * 2),
    ],
)
def test_images_have_the_size_of_the_epoch(tmp_path: Path, sizes: Sizes, expected: list[int]) -> None:
    network, sides = tiny(), []
    conv = network.get_submodule("trunk.conv")
    conv.register_forward_pre_hook(lambda module, inputs: sides.append((module.training, *inputs[0].shape[2:])))
    recipe = replace(LEARNING, sizes=sizes)

    fit(network, HALF, recipe, made_examples(), made_examples(9), tmp_path, settings=Settings(3))

    assert [side[1:] for side in sides if side[0]] == [(side, side) for side in expected]
    assert [side[1:] for side in sides if not side[0]] == [(8, 8)] * 4  # validation sees the network's own


def test_weights_are_drawn_anew_unless_they_are_to_be_fine_tuned(tmp_path: Path) -> None:
    kept: list[dict[str, Tensor]] = []
    for name, initialise in (("drawn", True), ("drawn again", True), ("tuned", False)):
        network, folder = tiny(), tmp_path / name
        folder.mkdir()
        torch.manual_seed(9)
        nn.init.normal_(network.get_parameter("trunk.conv.weight"))
        before = weights_of(network)
        recipe = replace(LEARNING, rate=lambda _progress: 0.0)
        fit(network, HALF, recipe, made_examples(), None, folder, settings=Settings(3), initialise=initialise)
        kept.append(weights_of(network))
        is_kept = torch.equal(kept[-1]["trunk.conv.weight"], before["trunk.conv.weight"])
        assert is_kept is not initialise

    assert equal(kept[0], kept[1])


def test_fine_tuning_that_was_stopped_goes_on_with_its_own_weights(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    start = weights_of(tiny())
    for folder, stop in ((whole, 0), (parts, 8), (parts, 0)):
        folder.mkdir(exist_ok=True)
        network = tiny()
        network.load_state_dict(start)

        def watch(moment: Moment, stop: int = stop) -> None:
            if moment.step == stop:
                os.kill(os.getpid(), signal.SIGINT)

        try:
            fit(
                network,
                HALF,
                LEARNING,
                made_examples(),
                None,
                folder,
                settings=Settings(3),
                watchers=Watchers(step=watch),
                initialise=False,
            )
        except KeyboardInterrupt:
            assert stop == 8

    assert (parts / LAST).read_bytes() == (whole / LAST).read_bytes()


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"validate_every": 0}, "validation every 0 epochs cannot be"), ({"at_once": 0}, "0 images at once cannot be")],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=f"{said}; choose 1 or more"):
        Settings(0, **settings)  # type: ignore[arg-type]
