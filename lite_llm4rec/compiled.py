"""An encoder compiled for a few fixed shapes, which a GPU runs as CUDA graphs.

A small batch on a GPU waits for its kernels to be launched one after the other; a graph of a fixed
shape is launched at once. On a CPU next to nothing is gained: there an export is faster.
"""

from collections.abc import Callable, Sequence
from itertools import starmap

import torch

BATCHES = (1, 8, 64)
Encode = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class FixedShapes:
    """Encodes as `EncoderModel.encode`, padded to the next of a few shapes.

    Parameters
    ----------
    encode : callable
        (batch, length, width) item vectors and (batch, length) mask → (batch, dim).
    length : int
        The longest history.
    batches : sequence of int
        The batch sizes; a larger batch is cut.
    backend, mode : str
        Of `torch.compile`.
    """

    def __init__(
        self,
        encode: Encode,
        length: int,
        batches: Sequence[int] = BATCHES,
        backend: str = "inductor",
        mode: str | None = "reduce-overhead",
    ) -> None:
        self.length, self.batches = length, sorted(batches)
        self.encode = torch.compile(
            encode, dynamic=False, fullgraph=True, backend=backend, mode=mode
        )

    def __call__(self, vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Encode, (batch, length, width), (batch, length) → (batch, dim)."""
        largest = self.batches[-1]
        parts = zip(torch.split(vectors, largest), torch.split(mask, largest), strict=True)
        return torch.cat(list(starmap(self._padded, parts)))

    def _padded(self, vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        rows, length, width = vectors.shape
        size = next(size for size in self.batches if size >= rows)
        whole = vectors.new_zeros(size, self.length, width)
        whole[:rows, :length] = vectors
        known = mask.new_zeros(size, self.length)
        known[:, 0] = True  # no row may be without an item
        known[:rows, :length] = mask
        # A graph writes its next answer into the same memory.
        return self.encode(whole, known)[:rows].clone()
