"""From JPEG files to random 224-pixel crops on two threads: fourfold's windows against torchvision's transforms on Pillow.

Both sides read the same files, draw crops of 8 to 100 % of the area with aspect 3/4 to 4/3, flip every other one, run on the
same two threads (`in_order`), and take turns within one run. "uint8" ends with images uint8 (3,224,224): for torchvision
RandomResizedCrop, RandomHorizontalFlip and PILToTensor. "float" ends with normalised float32 batches of 64: for torchvision
ToTensor and Normalize on each image; for fourfold `Pixels` on the batch. Differences are means over the same windows.

Inputs are made from examples/: photos cut to 500x375; 4000x3000 mosaics of such cuts, which hold more detail than a photo of
that size; and photos enlarged to 4000x3000, which hold less.
"""

from __future__ import annotations

import io
import itertools
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
import torchvision
from machine import write_figures
from PIL import Image
from torch import Tensor
from torchvision.transforms import (
    Compose,
    Normalize,
    PILToTensor,
    RandomHorizontalFlip,
    RandomResizedCrop,
    ToTensor,
    functional,
)

from fourfold.ahead import in_order
from fourfold.images import Pixels
from fourfold.windows import Window, read_window

EXAMPLES = Path(__file__).parents[1] / "examples"
SIZE, BATCH, AHEAD, TRIES = 224, 64, 64, 10
ROUNDS = 9
COUNTS = {"500x375": 560, "4000x3000 mosaic": 24, "4000x3000 enlarged": 24}  # images in a round
AREAS, ASPECTS = (0.08, 1.0), (3 / 4, 4 / 3)
IMAGENET = Pixels(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
CROP = [RandomResizedCrop(SIZE, AREAS, ASPECTS, antialias=True), RandomHorizontalFlip()]
TO_UINT8 = Compose([*CROP, PILToTensor()])
TO_FLOAT = Compose([*CROP, ToTensor(), Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])

Finish = Callable[[Tensor], Tensor]


class Job(NamedTuple):
    """A file, and numbers in [0, 1) that say what of it to see."""

    path: Path
    numbers: Sequence[float]


def window(height: int, width: int, numbers: Sequence[float]) -> Window:
    """RandomResizedCrop's rule: four numbers for each try, until a window fits; the whole height or width if none does."""
    for area, aspect, down, across in zip(*(iter(numbers),) * 4, strict=False):
        target = height * width * (AREAS[0] + area * (AREAS[1] - AREAS[0]))
        ratio = ASPECTS[0] * (ASPECTS[1] / ASPECTS[0]) ** aspect
        tall, wide = round(math.sqrt(target / ratio)), round(math.sqrt(target * ratio))
        if tall <= height and wide <= width:
            return Window(int(down * (height - tall + 1)), int(across * (width - wide + 1)), tall, wide)
    tall, wide = min(height, round(width / ASPECTS[0])), min(width, round(height * ASPECTS[1]))
    return Window((height - tall) // 2, (width - wide) // 2, tall, wide)


def ours(job: Job) -> Tensor:
    image = read_window(job.path.read_bytes(), lambda height, width: window(height, width, job.numbers[1:]), SIZE)
    return image.flip(-1) if job.numbers[0] < 0.5 else image


def opened(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes())).convert("RGB")


def theirs(job: Job) -> Any:  # a tensor, though Compose does not say so
    return TO_UINT8(opened(job.path))


def theirs_float(job: Job) -> Any:
    return TO_FLOAT(opened(job.path))


def draw(files: list[Path], count: int) -> list[Job]:
    return [Job(files[i % len(files)], row) for i, row in enumerate(torch.rand(count, 1 + 4 * TRIES).tolist())]


def batches(images: Iterable[Tensor]) -> Iterator[Tensor]:
    rest = iter(images)
    while group := list(itertools.islice(rest, BATCH)):
        yield torch.stack(group)


def speed(function: Callable[[Job], Tensor], files: list[Path], count: int, finish: Finish | None) -> float:
    """Images a second."""
    start = time.perf_counter()
    images = in_order(function, draw(files, count), AHEAD)
    for _ in images if finish is None else map(finish, batches(images)):
        pass
    return count / (time.perf_counter() - start)


def compare(
    files: list[Path], count: int, sides: dict[str, tuple[Callable[[Job], Tensor], Finish | None]]
) -> dict[str, object]:
    speeds: dict[str, list[float]] = {name: [] for name in sides}
    for index in range(ROUNDS):
        for name in list(sides) if index % 2 else reversed(sides):
            speeds[name].append(speed(sides[name][0], files, count, sides[name][1]))
    ratios = sorted(a / b for a, b in zip(speeds["fourfold"], speeds["torchvision"], strict=True))
    rates = {f"{name}, images/s": round(statistics.median(values), 1) for name, values in speeds.items()}
    return {**rates, "ratio": round(statistics.median(ratios), 2), "from": round(ratios[0], 2), "to": round(ratios[-1], 2)}


def difference(job: Job) -> float:
    """Mean absolute difference in grey levels on the same window."""
    photo = opened(job.path)
    seen = window(photo.height, photo.width, job.numbers[1:])
    box = [int(seen.top), int(seen.left), int(seen.height), int(seen.width)]
    cropped: Any = functional.resized_crop(
        cast(Any, photo), box[0], box[1], box[2], box[3], [SIZE, SIZE]
    )  # typed for tensors
    expected = functional.pil_to_tensor(cropped)
    mine = ours(Job(job.path, [1.0, *job.numbers[1:]]))
    return float((mine.float() - expected.float()).abs().mean())


def photos() -> list[Image.Image]:
    return [opened(path) for path in sorted(EXAMPLES.glob("*.jpg")) if path.stem != "bird"]  # that one has 150x150


def cut(photo: Image.Image, dice: torch.Generator) -> Image.Image:
    """500x375 pixels somewhere; two of the photos are enlarged by a fifth for it."""
    scale = max(1.0, 500 / photo.width, 375 / photo.height)
    photo = photo if scale == 1 else photo.resize((math.ceil(photo.width * scale), math.ceil(photo.height * scale)))
    left = int(torch.randint(photo.width - 500 + 1, (), generator=dice))
    top = int(torch.randint(photo.height - 375 + 1, (), generator=dice))
    return photo.crop((left, top, left + 500, top + 375))


def mosaic(dice: torch.Generator) -> Image.Image:
    parts, canvas = photos(), Image.new("RGB", (4000, 3000))
    for top, left in itertools.product(range(0, 3000, 375), range(0, 4000, 500)):
        part = parts[int(torch.randint(len(parts), (), generator=dice))]
        canvas.paste(cut(part, dice), (left, top))
    return canvas


def make_files(folder: Path) -> dict[str, list[Path]]:
    dice = torch.Generator().manual_seed(0)
    images = {
        "500x375": [cut(photo, dice) for photo in photos()],
        "4000x3000 mosaic": [mosaic(dice) for _ in range(3)],
        "4000x3000 enlarged": [photo.resize((4000, 3000), Image.Resampling.BICUBIC) for photo in photos()[2:7:2]],
    }
    files = {name: [folder / f"{name} {i}.jpg" for i in range(len(group))] for name, group in images.items()}
    for name, group in images.items():
        for image, path in zip(group, files[name], strict=True):
            image.save(path, quality=90)
    return files


def measure(files: list[Path], count: int) -> dict[str, object]:
    differences = [difference(job) for job in draw(files, 48)]  # also compiles the kernels and reads the files once
    return {
        "bytes": round(statistics.mean(path.stat().st_size for path in files)),
        "difference": {"mean": round(statistics.mean(differences), 2), "worst window": round(max(differences), 2)},
        "uint8": compare(files, count, {"fourfold": (ours, None), "torchvision": (theirs, None)}),
        "float": compare(files, count, {"fourfold": (ours, IMAGENET), "torchvision": (theirs_float, lambda batch: batch)}),
    }


def main() -> None:
    torch.set_num_threads(1)  # an image is one thread's work, as in torch's DataLoader
    torch.manual_seed(0)
    figures: dict[str, object] = {"torchvision": torchvision.__version__, "threads": 2, "rounds": ROUNDS}
    with tempfile.TemporaryDirectory() as folder:
        for name, files in make_files(Path(folder)).items():
            figures[name] = measure(files, COUNTS[name])
            print(name, figures[name])
    write_figures("pipeline", figures)


if __name__ == "__main__":
    main()
