"""Local response normalisation with kernels of its own: torch's costs a CPU more than all convolutions around it.

The kernels read float32 and float64 maps in main memory; every other tensor takes `_plain`, the formula in torch operations.
Numba is imported, and a kernel compiled, at the first call that needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fourfold.models import lrn_kernels
from fourfold.shapes import expect

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
        return _run(lrn_kernels.forward, formula, maps)

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
        return _run(lrn_kernels.backward, ctx.formula, maps, grad.contiguous(memory_format=order)), None


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


def _tiling(maps: Tensor, taps: int) -> lrn_kernels.Tiling:
    images, channels, height, width = maps.shape
    pixels = height * width
    if _interleaved(maps):
        pitch = channels + taps - 1  # zeros between two pixels, so that their windows do not mix
        full = max(1, SCRATCH // pitch // 4)
        blocks = -(-images * pixels // full)
        return lrn_kernels.Tiling(blocks, blocks, full, images * pixels, channels, 0, pitch, 1)
    full = max(16, SCRATCH // channels // 16 * 16)
    blocks = -(-pixels // full)
    return lrn_kernels.Tiling(images * blocks, blocks, full, pixels, channels, channels * pixels, full, full)


def _run(kernel: Callable[..., None], formula: _Formula, maps: Tensor, *others: Tensor) -> Tensor:
    """A new tensor like maps, filled by the kernel; all tensors lie in memory as maps do."""
    out = _empty_like(maps)
    before, after = formula.reach(maps.shape[1])
    tiling = _tiling(maps, before + after + 1)
    flat = [_flat(tensor) for tensor in (maps, *others, out)]
    number = flat[0].dtype.type
    constants = number(formula.k), number(formula.alpha / formula.size), number(formula.beta)
    chunks = max(1, min(torch.get_num_threads(), tiling.tiles, maps.numel() // GRAIN))
    lrn_kernels.launch(kernel, chunks, *flat, tuple(tiling), (before, after), constants)
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
