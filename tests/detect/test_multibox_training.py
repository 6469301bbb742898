"""MultiBox learns where squares are, goes on where it was stopped, and mini-batches show what they say."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fourfold import catalog
from fourfold.data.annotated import Annotated, Annotations
from fourfold.data.boxed import BoxedSplits
from fourfold.data.dice import dice_for
from fourfold.data.held import Held, bytes_of
from fourfold.data.listing import to_image
from fourfold.detect.box_code import decode
from fourfold.detect.multibox import load_multibox, priors
from fourfold.detect.multibox_training import BoxFeed, MultiBoxRecipe, part_of, train_multibox, warped, window_of
from fourfold.detect.recall import coverage
from fourfold.train.loop import Moment, Watchers
from fourfold.train.schedule import Cosine

RECIPE = MultiBoxRecipe(steps=40, batch_size=4, side=32, sizes=2, units=32, stride=1, rate=Cosine(4e-3, 0.1))


@dataclass(frozen=True, eq=False)
class InMemory:
    """An image that is there already."""

    name: str
    pixels: Tensor

    def content(self) -> Tensor:
        return self.pixels


def squares(number: int) -> Annotated:
    """A dark image of 48 x 64 with two light boxes: a wide one in the left half, a tall one in the right."""
    generator = torch.Generator().manual_seed(number)
    pixels = torch.randint(60, (3, 48, 64), generator=generator, dtype=torch.uint8)
    boxes = []
    for left, (width, height) in ((0, (20, 12)), (32, (12, 24))):
        x = left + int(torch.randint(32 - width, (), generator=generator))
        y = int(torch.randint(48 - height, (), generator=generator))
        pixels[:, y : y + height, x : x + width] = 230
        boxes.append([x, y, x + width, y + height])
    item = InMemory(f"{number}.png", pixels)
    return Annotated(item, 48, 64, torch.tensor(boxes).float(), torch.tensor([0, 1]), torch.zeros(2).bool())


def part(*numbers: int) -> Annotations:
    return Annotations(tuple(map(squares, numbers)), ("wide", "tall"), ())


def splits() -> BoxedSplits:
    return BoxedSplits(part(*range(12)), part(100, 101, 102), None, "made up")


def feed(seed: int = 0, *, least: float = 0.6) -> BoxFeed:
    own = priors(((0.3, 0.25), (0.2, 0.5)), 8, 8)
    return BoxFeed(part(*range(6)).images, replace(RECIPE, least=least), own, seed, Held(10**6, bytes_of))


def test_it_finds_squares_that_it_has_not_seen(tmp_path: Path) -> None:
    multibox = train_multibox(splits(), tmp_path / "run", catalog.load(catalog.DEFAULT), RECIPE, seed=0)
    unseen = part(*range(200, 212)).images
    found = coverage([multibox(to_image(squares(number).item.content(), "")) for number in range(200, 212)], unseen, (4, 20))
    assert found.recall(0.5)[1] >= 0.9
    assert load_multibox(tmp_path / "run") == multibox
    assert "made up" in (tmp_path / "run" / "multibox.json").read_text(encoding="utf-8")


def test_it_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    recipe, start = replace(RECIPE, steps=4), catalog.load(catalog.DEFAULT)

    def stop(moment: Moment) -> None:
        if moment.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train_multibox(splits(), tmp_path / "a", start, recipe, seed=1, watchers=Watchers(step=stop))
    assert not (tmp_path / "a" / "multibox.json").exists()
    first = train_multibox(splits(), tmp_path / "a", start, recipe, seed=1)
    again = train_multibox(splits(), tmp_path / "b", start, recipe, seed=1)
    assert first == again
    with pytest.raises(ValueError, match="another network, recipe, seed or data"):
        train_multibox(splits(), tmp_path / "a", start, recipe, seed=2)


@pytest.mark.parametrize("least", [0.5, 1.0])
def test_a_mini_batch_shows_light_boxes_where_it_says(least: float) -> None:
    made = feed(least=least)
    seen = 0
    for step in range(6):
        batch = made.batch(step)
        assert batch.images.shape == (4, 3, 32, 32)
        boxes = decode(made.own[batch.matched[:, 1]], batch.codes * 0.2) * 32
        assert torch.bincount(batch.matched[:, 0], minlength=4).tolist() == batch.labels.tolist()
        for (image, _), box in zip(batch.matched.tolist(), boxes, strict=True):
            left, top, right, bottom = (box + torch.tensor([1.5, 1.5, -1.5, -1.5])).round().int().tolist()
            assert batch.images[image, :, top:bottom, left:right].float().mean() > 200
            outside = batch.images[image].float().mean((0,)).clone()
            left, top, right, bottom = (box + torch.tensor([-1.0, -1.0, 1.0, 1.0])).round().int().clamp(0, 32).tolist()
            ring = outside[top:bottom, left:right]
            rim = torch.cat((ring[0], ring[-1], ring[:, 0], ring[:, -1]))
            assert rim.mean() < 150 or least < 1  # where windows cut a box there is no rim on that side
            seen += 1
    assert seen > 20


def test_mini_batches_depend_on_seed_and_step_alone_and_every_image_comes_once() -> None:
    made = feed(least=1.0)
    again = feed(least=1.0)
    again.batch(7)
    assert torch.equal(made.batch(2).images, again.batch(2).images)
    assert not torch.equal(made.batch(2).images, feed(1, least=1.0).batch(2).images)
    shown = torch.cat([made.batch(step).images for step in range(3)])  # 12 of 6 images
    keys = {min(image.sum((0, 1)).tolist(), image.flip(-1).sum((0, 1)).tolist())[0] for image in shown}
    sums = [image.float().sum().item() for image in shown]
    assert sorted(sums[:6]) == sorted(sums[6:])
    assert sums[:6] != sums[6:], "in another order"
    assert len(set(sums)) == 6
    assert len(keys) == 6
    assert [p.images.shape[0] for p in made.epoch(1, start=6)] == [4, 4]  # 40 steps in five epochs of 8


def test_windows_cut_objects_and_leave_out_those_they_hardly_show() -> None:
    boxes = torch.tensor([[0.0, 0.0, 20.0, 10.0], [50.0, 20.0, 90.0, 40.0], [70.0, 0.0, 100.0, 10.0]])
    # sides of 0.5 + 0.5 * 0.4 = 0.7 of 60 x 100: 42 x 70, at int(0.5 * 19) = 9 down, int(0.99 * 31) = 30 across
    (top, bottom, left, right), seen = window_of(boxes, 60, 100, torch.tensor([0.4, 0.5, 0.99]), 0.5)
    assert (top, bottom, left, right) == (9, 51, 30, 100)
    assert seen.tolist() == [[20.0, 11.0, 60.0, 31.0]]
    whole, everything = window_of(boxes, 60, 100, torch.tensor([0.9, 0.9, 0.9]), 1.0)
    assert whole == (0, 60, 0, 100)
    assert torch.equal(everything, boxes)


def test_an_image_is_warped_with_its_boxes() -> None:
    image = squares(3)
    square, boxes = warped(to_image(image.item.content(), ""), image.boxes, 32)
    assert square.shape == (3, 32, 32)
    torch.testing.assert_close(boxes, image.boxes / torch.tensor([64.0, 48.0, 64.0, 48.0]))


def test_data_without_objects_and_recipes_that_cannot_be_are_refused(tmp_path: Path) -> None:
    bare = replace(squares(0), boxes=torch.zeros(0, 4), labels=torch.zeros(0).long(), is_difficult=torch.zeros(0).bool())
    empty = Annotations((bare,), ("wide",), ())
    with pytest.raises(ValueError, match="no training image has an object"):
        train_multibox(BoxedSplits(empty, empty, None, ""), tmp_path, catalog.load(catalog.DEFAULT), RECIPE, seed=0)
    for wrong in ({"side": 0}, {"sizes": 0}, {"least": 0.0}, {"least": 1.5}, {"steps": 0}):
        with pytest.raises(ValueError, match="must be 1 or more"):
            replace(RECIPE, **wrong)


def test_of_more_objects_than_priors_those_that_fit_are_learned() -> None:
    own = torch.tensor([[0.6, 0.6, 0.8, 0.8]])
    boxes = torch.tensor([[0.0, 0.0, 0.2, 0.2], [0.6, 0.6, 0.84, 0.84]])
    part = part_of([(torch.zeros(3, 8, 8, dtype=torch.uint8), boxes)], own, dice_for(1, 0))
    assert part.matched.tolist() == [[0, 0]]
    # the centre is off by 0.02 of a side of 0.2, half a step of a fifth; the sides by log 1.2
    torch.testing.assert_close(part.codes, torch.tensor([[0.5, 0.5, 0.911608, 0.911608]]), rtol=1e-4, atol=1e-4)
