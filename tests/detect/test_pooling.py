"""Windows pooled together are what torch pools of each by itself, and so are gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from fourfold.detect.pooling import pool_windows

LEVELS = (6, 3, 2, 1)


def windows_in(height: int, width: int, count: int, dice: torch.Generator) -> Tensor:
    """Random windows, with the whole map and its first and last cells among them."""
    rows = torch.randint(height, (count, 2), generator=dice).sort(1).values
    columns = torch.randint(width, (count, 2), generator=dice).sort(1).values
    some = torch.stack((rows[:, 0], rows[:, 1] + 1, columns[:, 0], columns[:, 1] + 1), 1)
    special = [(0, height, 0, width), (0, 1, 0, 1), (height - 1, height, width - 1, width)]
    return torch.cat([torch.tensor(special), some])


def by_torch(maps: Tensor, windows: Tensor, levels: tuple[int, ...]) -> Tensor:
    """Each window cut out and pooled by itself."""
    rows = []
    for top, bottom, left, right in windows.tolist():
        cut = maps[:, top:bottom, left:right]
        rows.append(torch.cat([F.adaptive_max_pool2d(cut, level).flatten() for level in levels]))
    return torch.stack(rows)


def naive(maps: np.ndarray, window: list[int], levels: tuple[int, ...]) -> list[float]:
    """The words of SPP-net's appendix A, one number after the other."""
    top, bottom, left, right = window
    cut = maps[:, top:bottom, left:right]
    height, width = cut.shape[1:]
    return [
        cut[
            c,
            math.floor(i * height / n) : math.ceil((i + 1) * height / n),
            math.floor(j * width / n) : math.ceil((j + 1) * width / n),
        ].max()
        for n in levels
        for c in range(len(cut))
        for i in range(n)
        for j in range(n)
    ]


def test_two_thousand_windows_to_the_bit() -> None:
    dice = torch.Generator().manual_seed(0)
    maps = torch.randn(3, 23, 31, generator=dice)
    windows = windows_in(23, 31, 2000, dice)

    assert torch.equal(pool_windows(maps, windows, LEVELS), by_torch(maps, windows, LEVELS))


def test_the_words_of_appendix_a() -> None:
    dice = torch.Generator().manual_seed(1)
    maps = torch.randn(2, 9, 14, generator=dice)
    windows = windows_in(9, 14, 30, dice)
    levels = (6, 4, 3, 1)  # 4 is no divisor of 6

    expected = [naive(maps.numpy(), window, levels) for window in windows.tolist()]

    assert pool_windows(maps, windows, levels).tolist() == expected


@pytest.mark.parametrize("channels", [1, 7, 63, 64, 65, 130])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_number_of_channels_in_either_layout(channels: int, dtype: torch.dtype) -> None:
    dice = torch.Generator().manual_seed(channels)
    plain = torch.randn(channels, 11, 17, generator=dice, dtype=dtype) - 3  # mostly negative: no bin may start from 0
    last = plain[None].contiguous(memory_format=torch.channels_last)[0]
    windows = windows_in(11, 17, 40, dice)

    for maps in (plain, last):
        pooled = pool_windows(maps, windows, LEVELS)
        assert pooled.dtype == dtype
        assert torch.equal(pooled, by_torch(plain, windows, LEVELS))


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=5).map(tuple),
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(0, 2**31),
)
@settings(deadline=None, max_examples=60)
def test_levels_in_any_order(levels: tuple[int, ...], height: int, width: int, seed: int) -> None:
    dice = torch.Generator().manual_seed(seed)
    maps = torch.randn(3, height, width, generator=dice)
    windows = windows_in(height, width, 5, dice)

    assert torch.equal(pool_windows(maps, windows, levels), by_torch(maps, windows, levels))


def test_threads_change_nothing() -> None:
    dice = torch.Generator().manual_seed(2)
    maps, before = torch.randn(70, 8, 13, generator=dice, requires_grad=True), torch.get_num_threads()
    windows = windows_in(8, 13, 51, dice)
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        pooled = pool_windows(maps, windows, LEVELS)
        found.append((pooled, *torch.autograd.grad(pooled.square().sum(), maps)))
    torch.set_num_threads(before)

    for pooled, grad in found[1:]:
        assert torch.equal(pooled, found[0][0])
        assert torch.equal(grad, found[0][1])


@pytest.mark.parametrize("are_alike", [False, True])
def test_the_gradient_is_that_of_torch(are_alike: bool) -> None:
    dice = torch.Generator().manual_seed(3)
    maps = torch.randn(70, 9, 12, generator=dice, dtype=torch.float64)
    if are_alike:
        maps = maps.round().relu()  # many cells of a bin are largest, as after a ReLU
    windows = windows_in(9, 12, 25, dice)
    weights = torch.randn(len(windows), 70 * 50, generator=dice, dtype=torch.float64)
    ours, theirs = (maps.clone().requires_grad_() for _ in range(2))

    (pool_windows(ours, windows, LEVELS) * weights).sum().backward()
    (by_torch(theirs, windows, LEVELS) * weights).sum().backward()

    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-12, atol=1e-12)  # sums in another order


def test_the_gradient_is_the_slope() -> None:
    dice = torch.Generator().manual_seed(4)
    maps = torch.randperm(2 * 5 * 7, generator=dice).double().view(2, 5, 7).requires_grad_()  # no two alike
    windows = windows_in(5, 7, 4, dice)

    assert torch.autograd.gradcheck(lambda each: pool_windows(each, windows, (3, 2)), (maps,))


def test_layers_may_follow_in_place_and_strided_gradients_come_back() -> None:
    maps = torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(5), requires_grad=True)
    windows = torch.tensor([[0, 6, 1, 4], [2, 3, 0, 5]])

    pool_windows(maps, windows, (2,)).relu_().sum(1, keepdim=True).expand(2, 3).sum().backward()

    (theirs,) = torch.autograd.grad(by_torch(maps, windows, (2,)).relu().sum() * 3, maps)
    assert maps.grad is not None
    torch.testing.assert_close(maps.grad, theirs)


def test_a_bin_with_a_nan_is_nan() -> None:
    maps = torch.zeros(2, 4, 6)
    maps[1, 2, 3] = math.nan

    pooled = pool_windows(maps, torch.tensor([[0, 4, 0, 6], [0, 2, 0, 6]]), (2,))

    assert pooled.isnan().tolist() == [[False] * 7 + [True], [False] * 8]


def test_half_precision_goes_the_plain_way() -> None:
    dice = torch.Generator().manual_seed(6)
    maps, windows = torch.randn(3, 7, 5, generator=dice).bfloat16(), windows_in(7, 5, 6, dice)

    assert torch.equal(pool_windows(maps, windows, LEVELS), by_torch(maps, windows, LEVELS))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_windows_are_no_rows(dtype: torch.dtype) -> None:
    maps = torch.ones(3, 4, 5, dtype=dtype)
    assert pool_windows(maps, torch.zeros(0, 4, dtype=torch.int64), (2, 1)).shape == (0, 15)


@pytest.mark.parametrize("window", [(-1, 2, 0, 2), (2, 2, 0, 2), (0, 5, 0, 2), (0, 2, -1, 2), (0, 2, 3, 2), (0, 2, 0, 7)])
def test_windows_that_leave_the_map_or_are_empty_are_refused(window: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"window 1 is .* within 4x6 cells"):
        pool_windows(torch.zeros(3, 4, 6), torch.tensor([(0, 4, 0, 6), window]), (1,))


def test_other_mistakes_are_refused() -> None:
    maps, windows = torch.zeros(3, 4, 6), torch.tensor([[0, 4, 0, 6]])
    with pytest.raises(ValueError, match="maps has shape"):
        pool_windows(maps[None], windows, (1,))
    with pytest.raises(ValueError, match="windows has shape"):
        pool_windows(maps, windows[0], (1,))
    with pytest.raises(ValueError, match="int64"):
        pool_windows(maps, windows.float(), (1,))
    for levels in ((), (2, 0)):
        with pytest.raises(ValueError, match="pyramid levels"):
            pool_windows(maps, windows, levels)
