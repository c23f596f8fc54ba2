"""Positions in a log → padded tensors and a mask."""

from dataclasses import dataclass

import numpy as np
import torch

from lite_llm4rec.data.interactions import Ints


@dataclass(frozen=True)
class Batch:
    """Histories side by side, padded at their end.

    Attributes
    ----------
    items : torch.Tensor
        (batch, length) int64; what stands where `mask` is False means nothing.
    mask : torch.Tensor
        (batch, length) bool, True where there is an item.
    targets : torch.Tensor
        (batch,) int64, the item that came next.
    """

    items: torch.Tensor
    mask: torch.Tensor
    targets: torch.Tensor

    def to(self, device: torch.device | str) -> "Batch":
        """Move to a device."""
        return Batch(self.items.to(device), self.mask.to(device), self.targets.to(device))


def make_batch(items: Ints, starts: Ints, targets: Ints) -> Batch:
    """Pad the histories `items[starts:targets]` to the longest of them.

    Parameters
    ----------
    items : numpy.ndarray
        (interactions,) a log's items.
    starts, targets : numpy.ndarray
        (batch,) positions; `starts < targets`.
    """
    histories, mask = pad(items, starts, targets)
    return Batch(histories, mask, torch.from_numpy(items[targets].astype(np.int64)))


def pad(items: Ints, starts: Ints, ends: Ints) -> tuple[torch.Tensor, torch.Tensor]:
    """Put `items[starts:ends]` side by side: (batch, length) items, (batch, length) mask."""
    length = int((ends - starts).max(initial=1))
    positions = starts[:, None] + np.arange(length)
    mask = positions < ends[:, None]
    padded = items[np.where(mask, positions, starts[:, None])].astype(np.int64)
    return torch.from_numpy(padded), torch.from_numpy(mask)


def from_lists(histories: list[Ints], history_length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad the last `history_length` items of separate, non-empty histories, likewise."""
    tails = [history[-history_length:] for history in histories]
    ends = np.cumsum([len(tail) for tail in tails])
    return pad(np.concatenate(tails), ends - [len(tail) for tail in tails], ends)
