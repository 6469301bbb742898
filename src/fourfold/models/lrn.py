"""Local response normalisation with kernels of its own: torch's costs a CPU more than all convolutions around it.

The kernels read float32 and float64 maps in main memory; every other tensor takes `_plain`, the formula in torch operations.
Numba is imported, and a kernel compiled, at the first call that needs it.
"""

from __future__ import annotations

import functools
import threading
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fourfold.shapes import expect

if TYPE_CHECKING:
    import numba

SCRATCH = 6144  # elements of a tile: forward reads and writes 96 KiB of float32 per tile, within a second-level cache
GRAIN = 2**14  # elements that take one thread about 20 us, so that waking another for fewer does not pay
ALIGNMENT = 64  # bytes, as torch aligns its own tensors
HUGE = 2**22  # bytes from which numpy asks the system for huge pages


class LocalResponseNorm(nn.Module):
    """Divide each value by a power of the energy of its neighbouring channels (AlexNet 3.3; VGG 2.1).

    maps (N,C,H,W) -> a / (k + alpha/size * sum of a^2 over `size` channels)^beta in the same shape, dtype and memory format.
    The window spans channels c - size//2 to c + (size-1)//2, cut off at the first and the last. Equal to
    nn.LocalResponseNorm: alpha is divided by size, as torch and Caffe do. AlexNet's printed formula does not divide, so
    its alpha = 1e-4 with n = 5 is 5e-4 here. float16 and bfloat16 maps are summed in float32.
    Raises ValueError on a size below 1 and on maps that are not 4-D.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"a window of {size} channels is empty; use a size of at least 1")
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, maps: Tensor) -> Tensor:
        expect(maps, "N C H W", name="maps")
        formula = _Formula(self.size, self.alpha, self.beta, self.k)
        if maps.numel() == 0:
            return maps
        if _is_traced() or not _has_kernel(maps):
            return _plain(maps, formula)
        if not (_interleaved(maps) or maps.is_contiguous()):
            maps = maps.contiguous()
        return cast(Tensor, _Normalise.apply(maps, formula))

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class _Formula(NamedTuple):
    """The constants of one layer, under torch's names."""

    size: int
    alpha: float
    beta: float
    k: float

    def reach(self, channels: int) -> tuple[int, int]:
        """Channels that the window takes in before and after its own, no more than there are."""
        return min(self.size // 2, channels - 1), min((self.size - 1) // 2, channels - 1)


class _Normalise(torch.autograd.Function):
    """The kernels as one differentiable operation; a derivative of the derivative goes through `_plain_gradient`."""

    @staticmethod
    def forward(maps: Tensor, formula: _Formula) -> Tensor:
        return _run(_forward, formula, maps)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, _Formula], output: Tensor) -> None:  # noqa: ARG004 (torch's name)
        maps, ctx.formula = inputs
        ctx.save_for_backward(maps)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (maps,), (grad,) = ctx.saved_tensors, grads
        if torch.is_grad_enabled() or not _has_kernel(grad):  # create_graph=True: the result must have a history
            return _plain_gradient(maps, grad, ctx.formula), None
        order = torch.channels_last if _interleaved(maps) else torch.contiguous_format
        return _run(_backward, ctx.formula, maps, grad.contiguous(memory_format=order)), None


def _is_traced() -> bool:
    """Whether torch.compile, torch.export or a trace follows the call; none of them can see into a kernel."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]


def _has_kernel(maps: Tensor) -> bool:
    """False also for fake and other tensors that only look as if they lay in main memory."""
    plain = type(maps) in {Tensor, nn.Parameter}
    return plain and maps.device.type == "cpu" and maps.dtype in {torch.float32, torch.float64}


def _interleaved(maps: Tensor) -> bool:
    """Whether the channels of a pixel are neighbours in memory; one channel is better read as a row of pixels."""
    return maps.shape[1] > 1 and maps.is_contiguous(memory_format=torch.channels_last)


def _plain(maps: Tensor, formula: _Formula) -> Tensor:
    values = maps if maps.dtype == torch.float64 else maps.float()
    return (values / _energy(values, formula).pow(formula.beta)).to(maps.dtype)


def _plain_gradient(maps: Tensor, grad: Tensor, formula: _Formula) -> Tensor:
    """Own share, less what each value adds to the energy of every window that holds it."""
    before, after = formula.reach(maps.shape[1])
    energy = _energy(maps, formula)
    shares = _window_sums(grad * maps * energy.pow(-formula.beta - 1), after, before)
    return grad * energy.pow(-formula.beta) - 2 * formula.beta * formula.alpha / formula.size * maps * shares


def _energy(maps: Tensor, formula: _Formula) -> Tensor:
    sums = _window_sums(maps * maps, *formula.reach(maps.shape[1]))
    return formula.k + formula.alpha / formula.size * sums


def _window_sums(maps: Tensor, before: int, after: int) -> Tensor:
    channels = maps.shape[1]
    padded = F.pad(maps, (0, 0, 0, 0, before, after))
    sums = padded[:, :channels]
    for shift in range(1, before + after + 1):
        sums = sums + padded[:, shift : shift + channels]
    return sums


class _Tiling(NamedTuple):
    """How maps are cut into tiles of rows that are contiguous in memory; a tile holds all channels of its pixels.

    NCHW: a row is `full` pixels of one channel. NHWC: a row is one pixel. In the scratch, rows lie `pitch` apart, and the
    next channel lies `step` further on, so that one loop over all cells sums the windows in either layout.
    """

    tiles: int
    blocks: int  # tiles of one image (NCHW), or of all (NHWC)
    full: int  # pixels of a tile; the last of an image has fewer
    pixels: int  # pixels of one image (NCHW), or of all (NHWC)
    channels: int
    image: int  # elements from one image to the next
    pitch: int
    step: int


def _tiling(maps: Tensor, taps: int) -> _Tiling:
    images, channels, height, width = maps.shape
    pixels = height * width
    if _interleaved(maps):
        pitch = channels + taps - 1  # zeros between two pixels, so that their windows do not mix
        full = max(1, SCRATCH // pitch // 4)
        blocks = -(-images * pixels // full)
        return _Tiling(blocks, blocks, full, images * pixels, channels, 0, pitch, 1)
    full = max(16, SCRATCH // channels // 16 * 16)
    blocks = -(-pixels // full)
    return _Tiling(images * blocks, blocks, full, pixels, channels, channels * pixels, full, full)


def _run(kernel: Callable[..., None], formula: _Formula, maps: Tensor, *others: Tensor) -> Tensor:
    """A new tensor like maps, filled by the kernel; all tensors lie in memory as maps do."""
    out = _empty_like(maps)
    before, after = formula.reach(maps.shape[1])
    tiling = _tiling(maps, before + after + 1)
    flat = [_flat(tensor) for tensor in (maps, *others, out)]
    number = flat[0].dtype.type
    constants = number(formula.k), number(formula.alpha / formula.size), number(formula.beta)
    chunks = max(1, min(torch.get_num_threads(), tiling.tiles, maps.numel() // GRAIN))
    _launch(kernel, chunks, *flat, tuple(tiling), before, after, *constants)
    return out


def _empty_like(maps: Tensor) -> Tensor:
    """torch.empty_like on huge pages: touching 38 MB of small pages first took 9 ms, filling them with results 6 ms."""
    if maps.nbytes < HUGE:
        return torch.empty_like(maps)
    memory = torch.from_numpy(np.empty(maps.nbytes + ALIGNMENT, np.uint8))
    skipped = -memory.data_ptr() % ALIGNMENT // maps.element_size()
    # Not a view of `memory`: autograd forbids a layer in place, such as ReLU, on a view that a custom Function returns.
    return torch.empty(0, dtype=maps.dtype).set_(memory.untyped_storage(), skipped, maps.shape, maps.stride())


def _flat(maps: Tensor) -> np.ndarray:
    """The elements in the order in which they lie in memory."""
    maps = maps.detach()
    return (maps.permute(0, 2, 3, 1) if _interleaved(maps) else maps).view(-1).numpy()


def _launch(kernel: Callable[..., None], chunks: int, *arguments: Any) -> None:
    """Run a kernel on as many threads as there are chunks, or on the caller's where more would be unsafe."""
    if torch.get_num_threads() == 1:  # also in a forked worker, where GNU OpenMP ends the process
        return _jit(kernel, False)(*arguments, 1)
    from numba import config, get_num_threads, set_num_threads
    from numba.np.ufunc.parallel import threading_layer

    given = get_num_threads()  # starts numba's threads, which decides the threading layer
    if threading_layer() == "workqueue":  # two calls at a time, ours or another module's, abort the process
        return _jit(kernel, False)(*arguments, 1)
    # As many threads as torch: the two may share one OpenMP pool, and a pool is rebuilt when its size changes.
    set_num_threads(min(chunks, config.NUMBA_NUM_THREADS))  # pyright: ignore[reportAttributeAccessIssue]
    try:
        _jit(kernel, True)(*arguments, chunks)
    finally:
        set_num_threads(given)


_ONE_AT_A_TIME = threading.Lock()


def _jit(kernel: Callable[..., None], parallel: bool) -> Callable[..., None]:
    with _ONE_AT_A_TIME:  # functools.cache lets threads that come first together compile a kernel each
        return _compiled(kernel, parallel)


@functools.cache
def _compiled(kernel: Callable[..., None], parallel: bool) -> Callable[..., None]:
    global numba  # noqa: PLW0603 (the kernels name numba.prange; importing it above would slow every start)
    import numba

    # Numba's cache on disk keeps no options: without a name of its own, the serial kernel would load as the parallel one.
    twin = types.FunctionType(kernel.__code__, globals(), kernel.__name__)
    twin.__qualname__ = f"{kernel.__name__}_{'parallel' if parallel else 'serial'}"
    # error_model: a check for division by zero in the inner loop would keep it from being vectorised.
    options = {"parallel": parallel, "nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
    try:
        return numba.njit(cache=True, **options)(twin)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        return numba.njit(**options)(twin)  # no directory can be written: compile in each process


def _forward(
    maps: np.ndarray,
    out: np.ndarray,
    tiling: tuple[int, ...],
    before: int,
    after: int,
    k: float,
    rate: float,
    beta: float,
    chunks: int,
) -> None:
    tiles, blocks, full, pixels, channels, image, pitch, step = tiling
    cells = (full if step == 1 else channels) * pitch
    for chunk in numba.prange(chunks):
        squares = np.zeros(cells + (before + after) * step, maps.dtype)
        sums = np.empty(cells, maps.dtype)
        for tile in range(chunk * tiles // chunks, (chunk + 1) * tiles // chunks):
            count = min(full, pixels - tile % blocks * full)
            rows, length, stride = (count, channels, channels) if step == 1 else (channels, count, pixels)
            start = tile // blocks * image + tile % blocks * full * (channels if step == 1 else 1)
            for row in range(rows):
                values = maps[start + row * stride :][:length]
                own = squares[before * step + row * pitch :][:length]
                for i in range(length):
                    own[i] = values[i] * values[i]
            for i in range(cells):
                sums[i] = squares[i]
            for tap in range(1, before + after + 1):
                shifted = squares[tap * step :]
                for i in range(cells):
                    sums[i] += shifted[i]
            for row in range(rows):
                values = maps[start + row * stride :][:length]
                target = out[start + row * stride :][:length]
                energy = sums[row * pitch :][:length]
                if beta == 0.75:
                    for i in range(length):
                        root = np.sqrt(k + rate * energy[i])
                        target[i] = values[i] / (root * np.sqrt(root))
                else:
                    for i in range(length):
                        target[i] = values[i] / (k + rate * energy[i]) ** beta


def _backward(  # noqa: PLR0912
    maps: np.ndarray,
    grad: np.ndarray,
    out: np.ndarray,
    tiling: tuple[int, ...],
    before: int,
    after: int,
    k: float,
    rate: float,
    beta: float,
    chunks: int,
) -> None:
    tiles, blocks, full, pixels, channels, image, pitch, step = tiling
    one = maps.dtype.type(1)  # a literal would be float64, and the inner loops with it
    pull = maps.dtype.type(2) * beta * rate
    cells = (full if step == 1 else channels) * pitch
    for chunk in numba.prange(chunks):
        padded = np.zeros(cells + (before + after) * step, maps.dtype)  # squares, seen by the windows
        shares = np.zeros(cells + (before + after) * step, maps.dtype)  # seen by the windows mirrored
        sums = np.empty(cells, maps.dtype)
        factors = np.empty(cells, maps.dtype)
        for tile in range(chunk * tiles // chunks, (chunk + 1) * tiles // chunks):
            count = min(full, pixels - tile % blocks * full)
            rows, length, stride = (count, channels, channels) if step == 1 else (channels, count, pixels)
            start = tile // blocks * image + tile % blocks * full * (channels if step == 1 else 1)
            for row in range(rows):
                values = maps[start + row * stride :][:length]
                own = padded[before * step + row * pitch :][:length]
                for i in range(length):
                    own[i] = values[i] * values[i]
            for i in range(cells):
                sums[i] = padded[i]
            for tap in range(1, before + after + 1):
                shifted = padded[tap * step :]
                for i in range(cells):
                    sums[i] += shifted[i]
            for row in range(rows):
                values = maps[start + row * stride :][:length]
                slopes = grad[start + row * stride :][:length]
                energy = sums[row * pitch :][:length]
                factor = factors[row * pitch :][:length]
                own = shares[after * step + row * pitch :][:length]
                for i in range(length):
                    total = k + rate * energy[i]
                    if beta == 0.75:
                        root = np.sqrt(total)
                        factor[i] = one / (root * np.sqrt(root))
                    else:
                        factor[i] = total**-beta
                    own[i] = slopes[i] * values[i] * factor[i] / total
            for i in range(cells):
                sums[i] = shares[i]
            for tap in range(1, before + after + 1):
                shifted = shares[tap * step :]
                for i in range(cells):
                    sums[i] += shifted[i]
            for row in range(rows):
                values = maps[start + row * stride :][:length]
                slopes = grad[start + row * stride :][:length]
                target = out[start + row * stride :][:length]
                factor = factors[row * pitch :][:length]
                spread = sums[row * pitch :][:length]
                for i in range(length):
                    target[i] = slopes[i] * factor[i] - pull * values[i] * spread[i]
