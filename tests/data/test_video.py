"""Frames come with their number, second and colours; a video is written whole or not at all; faults are said."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fourfold.data.video import frame_rate, frames, video_writer

cv2 = pytest.importorskip("cv2")

with pytest.raises(ValueError, match="there is no video"):
    frames(Path("none"))  # ours is the first use of OpenCV, as in the program: only then FFmpeg can be told to be silent

SHADES = (20, 200, 60, 140, 100)


def frame(shade: int, height: int = 48, width: int = 80) -> Tensor:
    """Left half red of that shade, right half blue of half of it."""
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    image[0, :, : width // 2] = shade
    image[2, :, width // 2 :] = shade // 2
    return image


def written(path: Path, code: str) -> Path:
    """By OpenCV itself: five frames, eight a second."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), 8.0, (80, 48))
    for shade in SHADES:
        writer.write(np.ascontiguousarray(frame(shade).flip(0).permute(1, 2, 0).numpy()))
    writer.release()
    return path


@pytest.fixture(params=[("a.avi", "MJPG"), ("a.mp4", "mp4v"), ("a.mkv", "mp4v")], ids=["avi", "mp4", "mkv"])
def video(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return written(tmp_path / request.param[0], request.param[1])


def left_red(image: Tensor) -> float:
    return float(image[0, :, 4:36].float().mean())


def test_frames_come_in_order_with_number_second_and_colours(video: Path) -> None:
    found = list(frames(video))

    assert [number for number, _, _ in found] == [0, 1, 2, 3, 4]
    assert [second for _, second, _ in found] == pytest.approx([0, 1 / 8, 2 / 8, 3 / 8, 4 / 8], abs=1e-6)
    for (_, _, image), shade in zip(found, SHADES, strict=True):
        assert (image.shape, image.dtype, image.is_contiguous()) == ((3, 48, 80), torch.uint8, True)
        assert left_red(image) == pytest.approx(shade, abs=12)  # the codecs lose that much
        assert image[2, :, 44:].float().mean() == pytest.approx(shade // 2, abs=12)
        assert image[1].float().mean() < 12
    assert frame_rate(video) == 8


def test_some_frames_are_left_out(video: Path) -> None:
    found = [(number, second) for number, second, _ in frames(video, every=2)]

    assert found == [(0, 0), (2, pytest.approx(2 / 8)), (4, pytest.approx(4 / 8))]
    assert [number for number, _, _ in frames(video, every=9)] == [0]
    with pytest.raises(ValueError, match="every 0th frame cannot be taken"):
        frames(video, every=0)


@pytest.mark.parametrize("name", ["a.mp4", "b.AVI"])
def test_what_is_written_is_read_back(name: str, tmp_path: Path) -> None:
    with video_writer(tmp_path / name, 12.5) as write:
        for shade in SHADES:
            write(frame(shade, 40, 80))
            assert not (tmp_path / name).exists()

    found = [image for _, _, image in frames(tmp_path / name)]
    assert [left_red(image) for image in found] == pytest.approx(SHADES, abs=12)
    assert found[0].shape == (3, 40, 80)
    assert frame_rate(tmp_path / name) == pytest.approx(12.5)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_odd_side_loses_a_pixel(tmp_path: Path) -> None:
    with video_writer(tmp_path / "a.mp4", 5) as write:
        write(frame(100, 41, 81))

    ((_, _, image),) = frames(tmp_path / "a.mp4")
    assert image.shape == (3, 40, 80)


def write_all(write: Callable[[Tensor], None], *images: Tensor) -> None:
    for image in images:
        write(image)


def test_a_block_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")

    with pytest.raises(ValueError, match="expected"), video_writer(path, 5) as write:
        write_all(write, frame(1), frame(1)[0])

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_says_what_it_cannot_write(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a.gif cannot be written as a video; give a name that ends in .mp4 or .avi"):
        video_writer(tmp_path / "a.gif", 5).__enter__()
    with pytest.raises(ValueError, match="a video of 0 frames a second does not move"):
        video_writer(tmp_path / "a.mp4", 0).__enter__()
    with pytest.raises(ValueError, match=r"no frame was given for .*a.mp4"), video_writer(tmp_path / "a.mp4", 5):
        pass
    message = r"a frame is 80x44 after one of 80x40; give one size"
    with pytest.raises(ValueError, match=message), video_writer(tmp_path / "a.mp4", 5) as write:
        write_all(write, frame(1, 40), frame(1, 44))
    with pytest.raises(ValueError, match="no video can be written in"), video_writer(tmp_path / "no" / "a.mp4", 5) as write:
        write(frame(1))
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_video_is_refused_at_once_and_opencv_is_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name, content in (("a.mp4", b"hello" * 100), ("a.avi", b"RIFF"), ("a.txt", b"text")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name} is not a video that can be read; give .mp4"):
            frames(tmp_path / name)
    with pytest.raises(ValueError, match=r"there is no video .*none.mp4; check the path"):
        frames(tmp_path / "none.mp4")
    assert capfd.readouterr() == ("", "")


def test_a_video_cut_off_gives_the_frames_that_are_there(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mkv", "mp4v")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])

    found = [image for _, _, image in frames(path)]

    assert 1 <= len(found) < 5
    assert left_red(found[0]) == pytest.approx(SHADES[0], abs=12)


def test_seconds_are_those_of_a_file_whose_rate_changes(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mkv", "mp4v")
    content = path.read_bytes()
    late = b"\x81" + (500).to_bytes(2, "big")  # the last block: of track 1, at 500 milliseconds
    assert content.count(late) == 1
    path.write_bytes(content.replace(late, b"\x81" + (900).to_bytes(2, "big")))

    seconds = [second for _, second, _ in frames(path)]

    assert seconds == pytest.approx([0, 0.125, 0.25, 0.375, 0.9])


def test_without_opencv_the_extra_to_install_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)

    with pytest.raises(ValueError, match=r"videos need the library OpenCV; install it: pip install 'fourfold\[video\]'"):
        frames(tmp_path)
