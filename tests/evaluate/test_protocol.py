"""What all protocols promise: nothing for no image, ordinary tensors, one-line refusals; means; images in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
import torchvision.transforms.v2.functional as reference
from torch import Tensor, nn

from fourfold.catalog import ModelEntry, Network
from fourfold.evaluate.crops import single_view
from fourfold.evaluate.protocol import Average, Protocol, alike, check_scales, pixels_at_once, scaled_sizes
from fourfold.evaluate.views import View
from fourfold.images import Pixels
from fourfold.models.base import Classifier, MeanHead, sequential

LABELS = ("red", "green", "blue")


def colour_network(size: int) -> Network:
    """Scores are the mean of each channel divided by 100."""
    classify = nn.Linear(3, 3, bias=False)
    nn.init.eye_(classify.weight)
    head = MeanHead(sequential({"fc": classify}), side=size)
    classifier = Classifier(sequential({"none": nn.Identity()}), head, input_size=size).eval()
    return Network(classifier, Pixels(std=(100.0,) * 3), LABELS, ModelEntry(name="colours", network="colours"))


def noise(height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(1000 * height + width + seed)
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)


@dataclass(frozen=True)
class Fixed(Protocol):
    """Says the same of every image."""

    answer: tuple[float, ...]
    refuses: bool = False

    def posteriors(self, network: Network, images: Sequence[Tensor]) -> Tensor:
        assert network.labels == LABELS
        return torch.tensor(self.answer).expand(len(images), -1)

    def views(self, height: int, width: int) -> tuple[View, ...]:
        return (View((height, width), 0, 0, height, width),)

    def check(self, network: Network) -> None:
        if self.refuses:
            raise ValueError(f"{network.entry.name} is refused")

    def __str__(self) -> str:
        return f"says {self.answer[0]:g}"


def test_no_image_gives_no_posteriors() -> None:
    assert single_view(16)(colour_network(16), []).shape == (0, 3)


def test_posteriors_are_ordinary_float32_tensors() -> None:
    posteriors = single_view(16)(colour_network(16), [noise(16, 20)])

    posteriors += 1  # tensors of torch's inference mode refuse this
    assert posteriors.dtype == torch.float32
    assert not posteriors.requires_grad
    assert not posteriors.is_inference()


def test_every_answer_may_be_changed_by_itself() -> None:
    posteriors = Fixed((0.5, 0.25, 0.25))(colour_network(16), [noise(16, 20), noise(16, 16)])

    posteriors[0] = 0  # an expanded tensor would change its other rows too
    assert posteriors[1].tolist() == [0.5, 0.25, 0.25]


def test_a_network_is_checked_before_it_is_asked() -> None:
    with pytest.raises(ValueError, match="colours is refused"):
        Fixed((1.0,), refuses=True)(colour_network(16), [noise(16, 16)])


def test_the_mean_of_protocols_is_that_of_their_posteriors() -> None:
    parts = (Fixed((0.5, 0.25, 0.25)), Fixed((0.0, 1.0, 0.0)), Fixed((0.25, 0.25, 0.5)), Fixed((0.25, 0.5, 0.25)))

    assert Average(parts)(colour_network(16), [noise(16, 16)] * 2).tolist() == [[0.25, 0.5, 0.25]] * 2


def test_a_mean_says_its_parts_takes_all_their_views_and_is_refused_with_any() -> None:
    mean = Average((Fixed((1.0,)), Fixed((2.0,), refuses=True)))

    assert str(mean) == "mean of: says 1; and says 2"
    assert mean.views(8, 9) == (View((8, 9), 0, 0, 8, 9),) * 2
    with pytest.raises(ValueError, match="colours is refused"):
        mean.check(colour_network(16))


def test_a_scale_in_which_no_window_fits_is_refused_in_one_line() -> None:
    expected = "scale 200 is smaller than the network's 224x224 window; use scales of at least 224 pixels"
    with pytest.raises(ValueError, match=f"^{expected}$"):
        check_scales((256, 200, 288), 224)
    check_scales((224,), 224)


def test_no_scale_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="no scale is given; give shorter sides of at least 32 pixels"):
        check_scales((), 32)


def test_sizes_follow_the_shorter_side() -> None:
    assert scaled_sizes(375, 500, (256, 512)) == [(256, 341), (512, 682)]
    assert scaled_sizes(500, 375, (256, 512)) == [(341, 256), (682, 512)]


def test_an_image_that_becomes_too_large_is_refused_in_one_line() -> None:
    expected = (
        "an image of 1000x20 becomes 32000x640 at a shorter side of 640, more than 4,000,000 pixels; "
        "cut it, or give smaller scales"
    )
    with pytest.raises(ValueError, match=f"^{expected}$"):
        scaled_sizes(20, 1000, (224, 640))  # 640 x 32,000


def test_the_largest_image_that_is_shown_has_four_million_pixels() -> None:
    assert scaled_sizes(100, 100, (2000,)) == [(2000, 2000)]
    with pytest.raises(ValueError, match="becomes 2001x2001"):
        scaled_sizes(100, 100, (2001,))


@pytest.mark.parametrize("are_mirrored", [False, True])
def test_images_of_one_scaled_size_go_together_and_none_is_lost(are_mirrored: bool) -> None:
    images = [noise(30, 40), noise(40, 30), noise(60, 80), noise(30, 41), noise(30, 40, seed=1), noise(20, 20)]

    seen: dict[int, Tensor] = {}
    for members, batch in alike(images, 24, 24, are_mirrored=are_mirrored):
        assert len(batch) == len(members) * (2 if are_mirrored else 1)
        for place, index in enumerate(members):
            assert index not in seen
            seen[index] = batch[place]
            if are_mirrored:
                assert torch.equal(batch[len(members) + place], reference.hflip(batch[place]))

    assert sorted(seen) == list(range(6))
    for index, shown in seen.items():
        assert torch.equal(shown, reference.resize(images[index], [24], antialias=True))


def test_batches_hold_no_more_pixels_than_stated_unless_one_image_does() -> None:
    small, large = [noise(100, 100)] * 18, [noise(100, 110)]

    sizes = [(len(members), batch.shape) for members, batch in alike([*small, *large], 100, 100, are_mirrored=True)]

    assert sum(count for count, _ in sizes) == 19
    assert len(sizes) == 4  # 8 images and their mirror images have 160,000 pixels; then 8, 2 and the one of 100x110
    assert all(shape[0] * shape[2] * shape[3] <= pixels_at_once(100) for _, shape in sizes)
    ((members, batch),) = alike([noise(4, 4)], 1500, 224, are_mirrored=True)
    assert (members, batch.shape) == ([0], (2, 3, 1500, 1500))


def test_sixteen_images_go_together_and_of_small_ones_more() -> None:
    assert [pixels_at_once(size) // size**2 for size in (224, 128, 64, 32)] == [16, 16, 32, 128]
