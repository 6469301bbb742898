"""What was kept comes back bit for bit or not at all: whatever happens to the files, the limit, the disk, or beside us."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fourfold.detect.cache import TensorCache, cached_proposals, key_of
from fourfold.detect.propose import Propose

LARGE = 10**9


def tensors(seed: int = 0, rows: int = 50) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return {
        "boxes": torch.rand(rows, 4, generator=random),
        "labels": torch.randint(0, 9, (rows,), generator=random),
        "is_good": torch.rand(rows, generator=random) > 0.5,
        "none": torch.zeros(0, 4),
        "half": torch.rand(3, generator=random).bfloat16(),
        "turned": torch.rand(4, 7, generator=random).T,
    }


def same(found: dict[str, Tensor] | None, wanted: dict[str, Tensor]) -> bool:
    return (
        found is not None
        and found.keys() == wanted.keys()
        and all(found[name].dtype == wanted[name].dtype and torch.equal(found[name], wanted[name]) for name in wanted)
    )


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_what_was_put_comes_back_and_another_key_has_nothing(tmp_path: Path) -> None:
    cache = TensorCache(tmp_path / "new" / "cache", LARGE)
    cache.put("one", tensors(1))
    cache.put("two", tensors(2))

    assert same(cache.get("one"), tensors(1))
    assert same(TensorCache(tmp_path / "new" / "cache", LARGE).get("two"), tensors(2))
    assert cache.get("three") is None


def test_putting_again_replaces(tmp_path: Path) -> None:
    cache = TensorCache(tmp_path, LARGE)
    cache.put("one", tensors(1))
    cache.put("one", tensors(2, rows=3))

    assert same(cache.get("one"), tensors(2, rows=3))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_byte_changed_anywhere_is_a_miss_or_changes_nothing(tmp_path: Path) -> None:
    cache, wanted = TensorCache(tmp_path, LARGE), tensors(rows=5)
    cache.put("one", wanted)
    (path,) = tmp_path.iterdir()
    good = path.read_bytes()
    misses = 0

    for place in range(0, len(good), 3):
        path.write_bytes(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
        found = cache.get("one")
        misses += found is None
        assert found is None or same(found, wanted)

    assert misses > 0.3 * len(good)
    for length in (0, 7, 100, len(good) - 1):
        path.write_bytes(good[:length])
        assert cache.get("one") is None
    cache.put("one", wanted)
    assert path.read_bytes() == good


def test_those_used_longest_ago_go_first(tmp_path: Path) -> None:
    cache = TensorCache(tmp_path, LARGE)
    cache.put("0", tensors())
    one = size_of(tmp_path)
    cache = TensorCache(tmp_path, int(4.5 * one))
    for number in range(4):
        cache.put(str(number), tensors())
        os.utime(tmp_path / f"{number}.safetensors", (number, number))
    assert cache.get("0") is not None  # used just now

    cache.put("4", tensors())

    assert [cache.get(str(number)) is None for number in range(5)] == [False, True, False, False, False]


def test_the_limit_holds_after_every_put_also_where_files_were_there_before(tmp_path: Path) -> None:
    for number in range(10):
        TensorCache(tmp_path, LARGE).put(f"old{number}", tensors())
    one = size_of(tmp_path) // 10
    cache = TensorCache(tmp_path, 101 * one)  # the folder is not listed at every put
    for number in range(80):
        cache.put(str(number), {"x": torch.zeros(1 + 40 * (number % 20))})
        assert size_of(tmp_path) <= 101 * one
    small = TensorCache(tmp_path, 5 * one)
    small.put("new", tensors())
    assert size_of(tmp_path) <= 5 * one
    assert small.get("new") is not None


def test_a_folder_that_held_too_much_is_brought_down_by_the_smallest_put(tmp_path: Path) -> None:
    for number in range(2):
        TensorCache(tmp_path, LARGE).put(f"old{number}", {"x": torch.zeros(20_000)})

    TensorCache(tmp_path, 100_000).put("new", {"x": torch.zeros(1)})  # much less than a hundredth of the limit

    assert 80_000 < size_of(tmp_path) <= 100_000


def test_what_exceeds_the_limit_by_itself_is_not_kept_and_pushes_nothing_out(tmp_path: Path) -> None:
    cache = TensorCache(tmp_path, 5000)
    cache.put("small", {"x": torch.zeros(3)})
    cache.put("large", {"x": torch.zeros(5000)})

    assert cache.get("large") is None
    assert cache.get("small") is not None


def test_what_a_killed_process_left_goes_like_the_rest_and_foreign_files_stay(tmp_path: Path) -> None:
    left, foreign = tmp_path / ".old.safetensors.77.part", tmp_path / "notes.txt"
    for path in (left, foreign):
        path.write_bytes(bytes(4000))
        os.utime(path, (1, 1))

    TensorCache(tmp_path, 5000).put("new", {"x": torch.zeros(500)})

    assert not left.exists()
    assert foreign.exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_stores_nothing_and_stops_nobody(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = TensorCache(tmp_path, LARGE)

    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", refuse)
        cache.put("one", tensors())

    assert cache.get("one") is None
    assert list(tmp_path.iterdir()) == []


def test_other_faults_of_the_folder_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"file cannot be made a folder \(File exists\); give another place"):
        TensorCache(tmp_path / "file", LARGE)
    with pytest.raises(ValueError, match="a cache of 0 bytes holds nothing"):
        TensorCache(tmp_path, 0)

    def refuse(*_: object) -> int:
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(ValueError, match=r"cannot be written to \(Permission denied\); give another cache"):
        TensorCache(tmp_path, LARGE).put("one", tensors())


def test_a_folder_that_went_away_keeps_nothing(tmp_path: Path) -> None:
    cache = TensorCache(tmp_path / "cache", LARGE)
    (tmp_path / "cache").rmdir()

    cache.put("one", tensors())

    assert cache.get("one") is None


PROGRAM = """
import torch
from pathlib import Path
from fourfold.detect.cache import TensorCache
cache = TensorCache(Path(folder), 5000)  # room for three of seven
for turn in range(100):
    key = str(turn % 7)
    wanted = torch.full((300,), float(turn % 7))
    found = cache.get(key)
    assert found is None or torch.equal(found["x"], wanted), found
    cache.put(key, {"x": wanted})
"""


def test_two_processes_may_share_a_folder(tmp_path: Path) -> None:
    program = f"folder = {str(tmp_path)!r}\n{PROGRAM}"
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE) as other:
        while other.poll() is None:  # as long as the other starts and works
            exec(program, {})
        assert other.communicate()[1] == b""
    assert other.returncode == 0


def test_threads_may_put_under_one_key(tmp_path: Path) -> None:
    cache, faults = TensorCache(tmp_path, LARGE), []

    def work() -> None:
        try:
            for _ in range(30):
                cache.put("same", tensors())
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert same(cache.get("same"), tensors())


def test_keys_tell_apart_what_differs_in_any_way() -> None:
    plain = torch.tensor([[1, 2, 3], [4, 5, 6]], dtype=torch.uint8)
    parts = [
        (plain,), (plain.T,), (plain.flatten(),), (plain.reshape(3, 2),), (plain.view(torch.int8),), (plain + 1,),
        (plain, "a"), ("a", plain), ("a",), ("ab", "c"), ("a", "bc"), ("abc",), (), ("",), ("ä",), ("\udcff",),
        ("a", "b"), ("atext\nb",),
    ]  # fmt: skip
    keys = [key_of(*each) for each in parts]

    assert len(set(keys)) == len(parts)
    assert all(len(key) == 64 for key in keys)
    assert key_of(plain.T) == key_of(plain.T.contiguous())


@dataclass(frozen=True)
class Counting(Propose):
    """One box, as large as asked; counts how often it was asked."""

    size: int
    asked: list[str] = field(default_factory=list, repr=False)

    def __call__(self, image: Tensor, name: str = "") -> Tensor:
        self.asked.append(name)
        return torch.tensor([[0.0, 0.0, self.size, image.shape[1]]])


def test_proposals_are_computed_once_for_the_same_pixels_name_and_proposer(tmp_path: Path) -> None:
    cache, first, other = TensorCache(tmp_path, LARGE), Counting(3), Counting(4)
    image = torch.arange(3 * 6 * 8, dtype=torch.uint8).reshape(3, 6, 8)
    propose = cached_proposals(first, cache)

    assert propose(image, "x/a.jpg").tolist() == [[0, 0, 3, 6]]
    assert propose(image, "y/a.jpg").tolist() == [[0, 0, 3, 6]]
    assert first.asked == ["x/a.jpg"]
    assert cached_proposals(other, cache)(image, "a.jpg").tolist() == [[0, 0, 4, 6]]
    assert propose(image.reshape(3, 8, 6), "a.jpg").tolist() == [[0, 0, 3, 8]]
    propose(image + 1, "a.jpg")
    propose(image, "b.jpg")
    assert len(first.asked) == 4
