"""MultiBox: where priors lie, what outputs mean, and a folder read back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from fourfold.detect.multibox import (
    Layout,
    MultiBox,
    MultiBoxEntry,
    MultiBoxNet,
    digest_of,
    is_multibox,
    load_multibox,
    priors,
    surest,
    write_multibox_entry,
)
from fourfold.detect.proposals import proposer_named
from fourfold.images import Pixels
from fourfold.networks import build
from fourfold.weights import save_weights

SIZES = ((0.2, 0.1), (0.5, 0.75))
LAYOUT = Layout(32, SIZES, 6, 2)
PIXELS = Pixels((10.0, 20.0, 30.0), (40.0, 50.0, 60.0))


def network() -> MultiBoxNet:
    torch.manual_seed(3)
    made = MultiBoxNet(build("resnet20", classes=10).trunk, LAYOUT)
    for layer in made.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            nn.init.uniform_(layer.running_mean, -0.2, 0.2)
    return made.eval().requires_grad_(False)


def save(folder: Path, made: MultiBoxNet, pixels: Pixels = PIXELS) -> None:
    record = {"mean": list(pixels.mean), "std": list(pixels.std), "order": pixels.order}
    layout = {"side": 32, "sizes": [list(size) for size in SIZES], "units": 6, "stride": 2}
    folder.mkdir()
    save_weights(folder / "weights.safetensors", {**made.state_dict(), **pixels.tensors()})
    write_multibox_entry(folder, MultiBoxEntry("resnet20", {"classes": 10}, record, layout, {}, {}))


def test_priors_stand_in_the_middle_of_cells_in_the_order_of_reading() -> None:
    found = priors(SIZES, 2, 4)
    assert found.shape == (16, 4)
    # cell 0 of 2 x 4 is centred on (1/8, 1/4); cell 5, the second of the second row, on (3/8, 3/4)
    torch.testing.assert_close(found[0], torch.tensor([0.125 - 0.1, 0.25 - 0.05, 0.125 + 0.1, 0.25 + 0.05]))
    torch.testing.assert_close(found[11], torch.tensor([0.375 - 0.25, 0.75 - 0.375, 0.375 + 0.25, 0.75 + 0.375]))


def test_surest_orders_moves_scales_and_cuts() -> None:
    own = torch.tensor([[0.4, 0.4, 0.6, 0.6], [0.0, 0.0, 0.2, 0.4], [2.0, 2.0, 3.0, 3.0]])
    outputs = torch.tensor([[-1.0, 2.5, -1.25, 0.0, 0.0], [2.0, -2.5, 0.0, 0.0, 0.0], [9.0, 0.0, 0.0, 0.0, 0.0]])
    # 2.5 steps of a fifth of a side of 0.2 are 0.1 to the right, and 1.25 steps 0.05 up; the third lies outside
    wanted = torch.tensor([[0.0, 0.0, 20.0, 20.0], [100.0, 17.5, 140.0, 27.5]])
    torch.testing.assert_close(surest(outputs, own, 50, 200), wanted)


def test_a_code_for_sides_is_a_logarithm_over_the_spread() -> None:
    own = torch.tensor([[0.4, 0.4, 0.6, 0.6]])
    found = surest(torch.tensor([[0.0, 0.0, 0.0, 3.465736, -3.465736]]), own, 100, 100)
    torch.testing.assert_close(found, torch.tensor([[30.0, 45.0, 70.0, 55.0]]), atol=1e-3, rtol=0)


def test_outputs_belong_to_the_priors_of_their_cell() -> None:
    made = network()
    assert made.priors.shape == (4 * 4 * 2, 4)  # 32 pixels, a step of 4 in the trunk and 2 in the head
    pixels = torch.randn(3, 3, 32, 32)
    outputs = made(pixels)
    maps = made.head(made.trunk(pixels))
    assert outputs.shape == (3, 32, 5)
    for image, y, x, size in ((0, 0, 0, 0), (2, 1, 3, 1), (1, 3, 0, 1)):
        row = (y * 4 + x) * 2 + size
        torch.testing.assert_close(outputs[image, row], maps[image, size * 5 : size * 5 + 5, y, x])


def test_the_trunk_given_is_left_alone() -> None:
    trunk = build("resnet20", classes=10).trunk.requires_grad_(False)
    before = next(trunk.parameters()).clone()
    made = MultiBoxNet(trunk, LAYOUT)
    with torch.no_grad():
        next(made.trunk.parameters()).zero_()
    assert torch.equal(next(trunk.parameters()), before)
    assert all(parameter.requires_grad for parameter in made.parameters())


def test_boxes_lie_in_the_image_and_the_surest_is_first() -> None:
    made = network()
    multibox = MultiBox("abc", made, PIXELS)
    image = torch.randint(256, (3, 40, 70), dtype=torch.uint8)
    boxes = multibox(image)
    assert boxes.dtype == torch.float32
    assert 1 < len(boxes) <= len(made.priors)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2] <= 70).all()
    assert (boxes[:, 3] <= 40).all()
    assert ((boxes[:, 2:] - boxes[:, :2]) > 0).all()
    square = torch.nn.functional.interpolate(image[None], (32, 32), mode="bilinear", antialias=True)
    values = (square.float() - torch.tensor(PIXELS.mean).view(3, 1, 1)) / torch.tensor(PIXELS.std).view(3, 1, 1)
    outputs = made(values)[0]
    best = outputs[:, 0].argmax()
    torch.testing.assert_close(boxes[0], surest(outputs[best : best + 1], made.priors[best : best + 1], 40, 70)[0])


@pytest.mark.parametrize("pixels", [PIXELS, Pixels(std=(2.0, 3.0, 4.0), order="BGR", mean_image=torch.rand(3, 8, 8) * 255)])
def test_a_folder_gives_the_boxes_that_were_saved(tmp_path: Path, pixels: Pixels) -> None:
    made = network()
    save(tmp_path / "run", made, pixels)
    image = torch.randint(256, (3, 40, 70), dtype=torch.uint8)
    assert is_multibox(tmp_path / "run")
    torch.testing.assert_close(load_multibox(tmp_path / "run")(image), MultiBox("", made, pixels)(image))


def test_repr_tells_networks_apart_and_nothing_else(tmp_path: Path) -> None:
    made = network()
    save(tmp_path / "a", made)
    save(tmp_path / "b", made)
    with torch.no_grad():
        last = made.head[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        last.bias[3] += 0.5
    save(tmp_path / "c", made)
    a, b, c = (load_multibox(tmp_path / name) for name in "abc")
    assert repr(a) == repr(b)
    assert a == b
    assert repr(a) != repr(c)
    assert len(repr(a)) < 80


def test_the_digest_depends_on_pixels_and_layout() -> None:
    made = network()
    others = [
        replace(PIXELS, order="BGR"),
        replace(PIXELS, std=(1.0, 1.0, 1.0)),
        replace(PIXELS, mean_image=torch.ones(3, 2, 2)),
    ]
    others.append(replace(PIXELS, mean_image=torch.zeros(3, 2, 2)))
    digests = {digest_of(made, pixels) for pixels in (PIXELS, *others)}
    wider = MultiBoxNet(made.trunk, replace(LAYOUT, sizes=((0.2, 0.1), (0.5, 0.7))))
    wider.load_state_dict(made.state_dict())
    assert len(digests | {digest_of(wider, PIXELS)}) == 6


def test_faults_of_a_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no MultiBox"):
        load_multibox(tmp_path)
    assert not is_multibox("x" * 5000)
    save(tmp_path / "run", network())
    path = tmp_path / "run" / "multibox.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    for key, value in (("layout", {"side": 32}), ("network", "nothing"), ("pixels", None), ("options", {"width": -1})):
        path.write_text(json.dumps({**record, key: value}), encoding="utf-8")
        with pytest.raises(ValueError, match="is damaged"):
            load_multibox(tmp_path / "run")
    path.write_text(json.dumps({**record, "layout": {**record["layout"], "units": 7}}), encoding="utf-8")
    with pytest.raises(ValueError, match="does not fit"):
        load_multibox(tmp_path / "run")
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="is damaged"):
        load_multibox(tmp_path / "run")


def test_a_multibox_is_known_by_its_folder_alone_and_joined(tmp_path: Path) -> None:
    folder = tmp_path / "boxes"
    save(folder, network())
    image = torch.randint(0, 256, (3, 40, 60), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))
    alone, joined = proposer_named(str(folder)), proposer_named(f"fast+{folder}")

    assert torch.equal(alone(image), load_multibox(folder)(image))
    both = {tuple(box) for box in joined(image).tolist()}
    assert both == {tuple(box) for part in (alone, proposer_named("fast")) for box in part(image).tolist()}
