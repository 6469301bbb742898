"""Local response normalisation against torch's, against nested loops, and where its kernels cannot run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.testing import assert_close

import fourfold
from fourfold.models.lrn import LocalResponseNorm

NCHW, NHWC = torch.contiguous_format, torch.channels_last
LAYOUTS = pytest.mark.parametrize("layout", [NCHW, NHWC], ids=["nchw", "nhwc"])
STRONG = {"alpha": 0.7, "beta": 0.75, "k": 1.3}  # halves large values, so that a wrong window shows in the first digit
SOURCE = Path(fourfold.__path__[0])


@pytest.fixture
def two_threads() -> Iterator[None]:
    given_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(given_threads)


def made_maps(*shape: int, layout: torch.memory_format = NCHW, dtype: torch.dtype = torch.float32) -> Tensor:
    values = 3 * torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=dtype)
    return values.contiguous(memory_format=layout)


def gradient(layer: nn.Module, maps: Tensor) -> Tensor:
    maps = maps.detach().clone().requires_grad_()
    weights = torch.randn(maps.shape, generator=torch.Generator().manual_seed(1), dtype=maps.dtype)
    (layer(maps) * weights).sum().backward()
    assert maps.grad is not None
    return maps.grad


def nested_loops(maps: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    out = torch.empty_like(maps)
    channels = maps.shape[1]
    for n, c, y, x in torch.cartesian_prod(*(torch.arange(side) for side in maps.shape)).tolist():
        window = range(max(0, c - size // 2), min(channels, c + (size - 1) // 2 + 1))
        energy = sum(float(maps[n, j, y, x]) ** 2 for j in window)
        out[n, c, y, x] = float(maps[n, c, y, x]) / (k + alpha / size * energy) ** beta
    return out


def assert_equals_torch(maps: Tensor, size: int, alpha: float, beta: float, k: float) -> None:
    ours, theirs = LocalResponseNorm(size, alpha, beta, k), nn.LocalResponseNorm(size, alpha, beta, k)
    # float32 carries 6e-8; a dozen operations in another order stay below 1e-6 of values up to 15.
    assert_close(ours(maps), theirs(maps), rtol=1e-6, atol=1e-6)
    # The two terms of the gradient nearly cancel where one value dominates its window.
    assert_close(gradient(ours, maps), gradient(theirs, maps), rtol=1e-5, atol=2e-6)


def run_python(program: str, **environment: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE.parent), **environment}
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(program)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@LAYOUTS
@pytest.mark.parametrize("size", [1, 2, 4, 5, 9, 30])
@pytest.mark.parametrize("shape", [(2, 7, 5, 3), (1, 1, 4, 6), (3, 16, 1, 1), (2, 3, 9, 150)])
def test_values_and_gradients_equal_torchs(shape: tuple[int, ...], size: int, layout: torch.memory_format) -> None:
    assert_equals_torch(made_maps(*shape, layout=layout), size, **STRONG)


@LAYOUTS
@pytest.mark.parametrize("shape", [(1, 96, 121, 97), (3, 37, 61, 67)])
@pytest.mark.usefixtures("two_threads")
def test_maps_of_many_tiles_and_several_threads_equal_torchs(shape: tuple[int, ...], layout: torch.memory_format) -> None:
    assert_equals_torch(made_maps(*shape, layout=layout), 5, **STRONG)


@settings(deadline=None, max_examples=40)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 9), st.integers(1, 40)),
    size=st.integers(1, 14),
    alpha=st.floats(0, 2),
    beta=st.sampled_from([0.0, 0.5, 0.75, 1.0, 1.7]),
    k=st.floats(0.5, 3),
    layout=st.sampled_from([NCHW, NHWC]),
)
def test_any_shape_window_and_constants_equal_torchs(
    shape: tuple[int, ...], size: int, alpha: float, beta: float, k: float, layout: torch.memory_format
) -> None:
    assert_equals_torch(made_maps(*shape, layout=layout), size, alpha, beta, k)


@LAYOUTS
@pytest.mark.parametrize("size", [3, 4])
@pytest.mark.parametrize("beta", [0.75, 0.6])
def test_values_equal_nested_loops(size: int, beta: float, layout: torch.memory_format) -> None:
    maps = made_maps(2, 6, 3, 4, layout=layout, dtype=torch.float64)
    ours = LocalResponseNorm(size, 0.7, beta, 1.3)(maps)
    assert_close(ours, nested_loops(maps, size, 0.7, beta, 1.3), rtol=1e-12, atol=1e-12)


def test_alexnets_constants_by_hand() -> None:
    maps = torch.tensor([3.0, 0.0, 4.0]).view(1, 3, 1, 1)
    out = LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)(maps)
    # AlexNet's print: 3 / (2 + 1e-4 * (9 + 0 + 16))^0.75, since each window of five holds all three channels
    assert_close(out.flatten(), torch.tensor([1.7821402, 0.0, 2.3761869]), rtol=1e-6, atol=0)


@LAYOUTS
@pytest.mark.parametrize("beta", [0.75, 0.6])
def test_first_and_second_derivatives_pass_gradcheck(beta: float, layout: torch.memory_format) -> None:
    maps = made_maps(2, 5, 2, 3, layout=layout, dtype=torch.float64).requires_grad_()
    layer = LocalResponseNorm(4, 0.7, beta, 1.3)
    assert torch.autograd.gradcheck(layer, maps)
    assert torch.autograd.gradgradcheck(layer, maps)


@pytest.mark.parametrize("size", [3, 4])
def test_a_gradient_that_keeps_its_history_has_the_same_values(size: int) -> None:
    maps = made_maps(2, 7, 5, 3, dtype=torch.float64).requires_grad_()
    slopes = made_maps(2, 7, 5, 3, dtype=torch.float64) + 1
    (ours,) = torch.autograd.grad(LocalResponseNorm(size, **STRONG)(maps), maps, slopes, create_graph=True)
    (theirs,) = torch.autograd.grad(nn.LocalResponseNorm(size, **STRONG)(maps), maps, slopes)
    assert ours.requires_grad
    assert_close(ours.detach(), theirs, rtol=1e-10, atol=1e-12)


@LAYOUTS
@pytest.mark.parametrize("shape", [(2, 7, 5, 3), (1, 96, 110, 120)], ids=["small", "huge-pages"])
def test_output_and_gradient_keep_the_memory_format(shape: tuple[int, ...], layout: torch.memory_format) -> None:
    maps = made_maps(*shape, layout=layout)
    assert LocalResponseNorm(5)(maps).stride() == maps.stride()
    assert gradient(LocalResponseNorm(5), maps).stride() == maps.stride()


@LAYOUTS
def test_a_gradient_in_the_other_memory_format_is_read_rightly(layout: torch.memory_format) -> None:
    other = NHWC if layout == NCHW else NCHW
    maps = made_maps(2, 7, 5, 3, layout=layout)
    slopes = made_maps(2, 7, 5, 3, layout=other) * 2
    ours, theirs = (maps.clone().requires_grad_() for _ in range(2))
    LocalResponseNorm(5, **STRONG)(ours).backward(slopes)
    nn.LocalResponseNorm(5, **STRONG)(theirs).backward(slopes)
    assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=2e-6, check_stride=False)


def test_a_strided_part_of_a_map_equals_its_copy() -> None:
    part = made_maps(2, 9, 8, 10)[:, 1:8, ::2, 3:]
    assert_equals_torch(part, 5, **STRONG)


def test_a_layer_in_place_may_follow() -> None:
    maps = made_maps(1, 96, 110, 120)
    ours, theirs = (nn.Sequential(layer(5, **STRONG), nn.ReLU(True)) for layer in (LocalResponseNorm, nn.LocalResponseNorm))
    assert_close(gradient(ours, maps), gradient(theirs, maps), rtol=1e-5, atol=2e-6)


@LAYOUTS
@pytest.mark.usefixtures("two_threads")
def test_an_image_gives_the_same_bits_alone_in_a_batch_and_on_one_thread(layout: torch.memory_format) -> None:
    maps = made_maps(3, 21, 45, 47, layout=layout)
    together = LocalResponseNorm(5, **STRONG)(maps)
    assert torch.equal(LocalResponseNorm(5, **STRONG)(maps[1:2]), together[1:2])
    torch.set_num_threads(1)
    assert torch.equal(LocalResponseNorm(5, **STRONG)(maps), together)


@LAYOUTS
def test_nan_and_zero_energy_give_what_torch_gives(layout: torch.memory_format) -> None:
    maps = made_maps(2, 9, 3, 4, layout=layout)
    maps[0, 4, 1, 2] = torch.nan
    maps[1, :, 0, 3] = 0
    maps[1, 2, 2, 2] = torch.inf
    ours, theirs = LocalResponseNorm(5, 0.7, 0.75, 0.0)(maps), nn.LocalResponseNorm(5, 0.7, 0.75, 0.0)(maps)
    assert int(theirs.isnan().sum()) == 5 + 9 + 1
    assert_close(ours, theirs, rtol=1e-6, atol=1e-6, equal_nan=True)


@LAYOUTS
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_the_float32_result_rounded(dtype: torch.dtype, layout: torch.memory_format) -> None:
    maps = made_maps(2, 7, 5, 3, layout=layout).to(dtype)
    exact = nn.LocalResponseNorm(4, **STRONG)(maps.float())
    # one unit in the last place: float32 sums in another order may round to the neighbour
    assert_close(LocalResponseNorm(4, **STRONG)(maps), exact.to(dtype), rtol=torch.finfo(dtype).eps, atol=0)


def test_meta_and_fake_tensors_pass_with_their_shape() -> None:
    meta = LocalResponseNorm(5)(torch.empty(2, 7, 5, 3, device="meta"))
    with FakeTensorMode():
        fake = LocalResponseNorm(5)(torch.empty(2, 7, 5, 3))
    assert (meta.device.type, meta.shape, fake.shape) == ("meta", (2, 7, 5, 3), (2, 7, 5, 3))


def test_a_compiled_network_traces_it_whole_and_equals_torchs() -> None:
    maps = made_maps(2, 7, 5, 3)
    compiled = torch.compile(LocalResponseNorm(4, **STRONG), backend="eager", fullgraph=True)
    assert_close(compiled(maps), nn.LocalResponseNorm(4, **STRONG)(maps), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_inference_gives_the_training_values(mode: type) -> None:
    maps = made_maps(2, 7, 5, 3)
    trained = LocalResponseNorm(5, **STRONG)(maps.clone().requires_grad_())
    with mode():
        assert torch.equal(LocalResponseNorm(5, **STRONG)(maps * 1), trained)


@pytest.mark.parametrize("shape", [(0, 7, 5, 3), (2, 0, 5, 3), (2, 7, 0, 3)])
def test_empty_maps_come_back_empty(shape: tuple[int, ...]) -> None:
    maps = torch.empty(shape, requires_grad=True)
    out = LocalResponseNorm(5)(maps)
    out.sum().backward()
    assert (out.shape, maps.grad is not None) == (shape, True)


def test_wrong_windows_and_shapes_are_refused_with_a_sentence() -> None:
    with pytest.raises(ValueError, match="window of 0 channels is empty; use a size of at least 1"):
        LocalResponseNorm(0)
    with pytest.raises(ValueError, match=r"maps has shape \(7, 5, 3\); expected \(N, C, H, W\)"):
        LocalResponseNorm(5)(torch.ones(7, 5, 3))


def test_it_prints_as_torchs_does() -> None:
    assert repr(LocalResponseNorm(5, 5e-4, 0.75, 2.0)) == repr(nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0))


@pytest.mark.usefixtures("two_threads")
def test_the_thread_settings_of_torch_and_numba_stay() -> None:
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)  # pyright: ignore
    before = torch.get_num_threads(), numba.get_num_threads()
    LocalResponseNorm(5)(made_maps(1, 8, 9, 9))  # runs on one thread
    assert (torch.get_num_threads(), numba.get_num_threads()) == before


@pytest.mark.usefixtures("two_threads")
def test_many_threads_at_once_get_their_own_values() -> None:
    layer = LocalResponseNorm(5, **STRONG)
    batches = [made_maps(1, 24 + i, 60, 60) for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(layer, batches * 4))
    for i, maps in enumerate(batches):
        assert_close(results[i], nn.LocalResponseNorm(5, **STRONG)(maps), rtol=1e-6, atol=1e-6)
        assert all(torch.equal(again, results[i]) for again in results[i::8])


def test_threads_that_come_first_together_compile_once_and_live_on_numbas_unsafe_layer() -> None:
    program = """
        import torch, numba
        from concurrent.futures import ThreadPoolExecutor
        from fourfold.models.lrn import LocalResponseNorm
        from fourfold.models.lrn_kernels import _compiled
        torch.set_num_threads(2)
        maps = torch.randn(1, 64, 80, 80)
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(LocalResponseNorm(5), [maps] * 60))
        assert all(torch.equal(result, results[0]) for result in results)
        print(numba.threading_layer(), _compiled.cache_info().misses)
    """
    assert run_python(program, NUMBA_THREADING_LAYER="workqueue", NUMBA_NUM_THREADS="2") == "workqueue 1\n"


def test_importing_it_does_not_import_numba() -> None:
    program = "import sys, fourfold.models.lrn; print('torch' in sys.modules, 'numba' in sys.modules)"
    assert run_python(program) == "True False\n"


def test_it_runs_where_no_directory_can_be_written(tmp_path: Path) -> None:
    shutil.copytree(SOURCE, tmp_path / "fourfold", ignore=shutil.ignore_patterns("__pycache__"))
    blocked = tmp_path / "fourfold" / "models" / "__pycache__"
    blocked.write_text("a file, so that nobody, not even root, can write a cache here", encoding="utf-8")
    program = """
        import torch
        from fourfold.models import lrn, lrn_kernels
        lrn.LocalResponseNorm(5)(torch.randn(1, 4, 5, 5))
        (kernel,) = {lrn_kernels._compiled(lrn_kernels.forward, torch.get_num_threads() > 1)}
        print(lrn.__file__, type(kernel._cache).__name__)
    """
    shown = run_python(program, PYTHONPATH=str(tmp_path), NUMBA_CACHE_DIR="", XDG_CACHE_HOME=str(blocked), HOME=str(blocked))
    assert shown == f"{tmp_path / 'fourfold' / 'models' / 'lrn.py'} NullCache\n"
