"""Videos: frames read one by one as images, and drawn frames written; the only user of OpenCV."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fourfold.shapes import expect

CODES = {".mp4": "mp4v", ".avi": "MJPG"}  # by the file's ending: what OpenCV's own builds can write without more libraries
RATE = 25.0  # frames a second where a file does not say


def frames(path: Path, every: int = 1) -> Iterator[tuple[int, float, Tensor]]:
    """The frames 0, `every`, 2 * `every`, ... of a video: number, second, and image uint8 (3,H,W) RGB, upright.

    They are decoded when they are asked for. A video that is cut off ends where it can be decoded no further.
    Raises ValueError at once where `every` is below 1, the file is missing or no video or has no frame, or OpenCV is not
    installed.
    """
    if every < 1:
        raise ValueError(f"every {every}th frame cannot be taken; give 1 or more")
    capture = _opened(path)
    if not capture.grab():
        raise ValueError(f"{path} has no frame that can be decoded; give another video")
    return _frames(capture, every)


def frame_rate(path: Path) -> float:
    """Frames a second, RATE where the file does not say. Raises ValueError as `frames` does."""
    return _rate(_opened(path))


@contextmanager
def video_writer(path: Path, rate: float) -> Iterator[Callable[[Tensor], None]]:
    """Gives a function that appends an image uint8 (3,H,W) RGB; the file is there, whole, once the block ends well.

    path: .mp4 or .avi. rate: frames a second. All images have the size of the first. Raises ValueError for another ending,
    a rate that is not above 0, an image of another size, a place that cannot be written to, or a block without any image.
    """
    cv2 = _library()
    if path.suffix.lower() not in CODES:
        raise ValueError(f"{path} cannot be written as a video; give a name that ends in {' or '.join(CODES)}")
    if not rate > 0:
        raise ValueError(f"a video of {rate} frames a second does not move; give a rate above 0, such as {RATE:g}")
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")  # the ending tells OpenCV the format
    writer = _Writer(cv2, temporary, rate)
    try:
        yield writer.write
        writer.close(path)
    finally:
        writer.release()
        temporary.unlink(missing_ok=True)


class _Writer:
    """Opened with the first image, whose size it takes."""

    def __init__(self, cv2: Any, temporary: Path, rate: float) -> None:
        self.cv2, self.temporary, self.rate = cv2, temporary, rate
        self.size, self.inner = (0, 0), None

    def write(self, image: Tensor) -> None:
        expect(image, "3 H W", name="a frame")
        size = image.shape[1], image.shape[2]
        if self.inner is None:
            code = self.cv2.VideoWriter_fourcc(*CODES[self.temporary.suffix.lower()])
            self.inner = self.cv2.VideoWriter(str(self.temporary), code, self.rate, size[::-1])
            self.size = size
            if not self.inner.isOpened():
                raise ValueError(f"no video can be written in {self.temporary.parent}; check the folder and its permissions")
        if size != self.size:
            raise ValueError(f"a frame is {size[1]}x{size[0]} after one of {self.size[1]}x{self.size[0]}; give one size")
        self.inner.write(np.ascontiguousarray(image.numpy()[::-1].transpose(1, 2, 0)))

    def close(self, path: Path) -> None:
        if self.inner is None:
            raise ValueError(f"no frame was given for {path}; give one at least")
        self.release()
        self.temporary.replace(path)

    def release(self) -> None:
        if self.inner is not None:
            self.inner.release()


def _library() -> Any:
    """OpenCV, told not to print what we say better."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        import cv2  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ValueError("videos need the library OpenCV; install it: pip install 'fourfold[video]'") from None
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2


def _opened(path: Path) -> Any:
    cv2 = _library()
    if not path.is_file():
        raise ValueError(f"there is no video {path}; check the path")
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)  # others take a photo, or photos with numbers, for a video
    if not capture.isOpened():
        raise ValueError(f"{path} is not a video that can be read; give .mp4, .avi, .mov, .mkv or .webm")
    return capture


def _rate(capture: Any) -> float:
    rate = float(capture.get(_library().CAP_PROP_FPS))
    return rate if 0 < rate < float("inf") else RATE


def _frames(capture: Any, every: int) -> Iterator[tuple[int, float, Tensor]]:
    """From a capture that has grabbed its first frame."""
    number, rate = 0, _rate(capture)
    try:
        while True:
            if number % every == 0:
                is_good, pixels = capture.retrieve()
                if not is_good:
                    return
                second = _milliseconds(capture) / 1000 or number / rate
                yield number, second, torch.from_numpy(pixels[..., ::-1].transpose(2, 0, 1).copy())
            if not capture.grab():
                return
            number += 1
    finally:
        capture.release()


def _milliseconds(capture: Any) -> float:
    """When the frame is shown: phones film at a rate that changes. 0 where the file does not say."""
    return max(0.0, float(capture.get(_library().CAP_PROP_POS_MSEC)))
