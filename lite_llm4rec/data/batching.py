"""Positions in a log → padded tensors and a mask."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

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
    following : torch.Tensor
        (batch, length) int64, the item that came next after each position.
    users : torch.Tensor, optional
        (batch,) int64 user numbers.
    candidates : int
        How many of each row's last items are no history, but what the target is among.
    """

    items: torch.Tensor
    mask: torch.Tensor
    following: torch.Tensor
    users: torch.Tensor | None = None
    candidates: int = 0

    @property
    def targets(self) -> torch.Tensor:
        """The item that came next after the last position, (batch,)."""
        last = self.mask.sum(1, keepdim=True) - 1
        return self.following.gather(1, last)[:, 0]

    def whole(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Put the target behind each history: (batch, length + 1) items, and their mask."""
        lengths = self.mask.sum(1, keepdim=True)
        items = functional.pad(self.items, (0, 1)).scatter(1, lengths, self.targets[:, None])
        return items, functional.pad(self.mask, (1, 0), value=True)

    def to(self, device: torch.device | str) -> "Batch":
        """Move to a device."""
        users = None if self.users is None else self.users.to(device)
        items, mask, following = (
            part.to(device) for part in (self.items, self.mask, self.following)
        )
        return Batch(items, mask, following, users, self.candidates)


def make_batch(items: Ints, starts: Ints, targets: Ints, users: Ints | None = None) -> Batch:
    """Pad the histories `items[starts:targets]` to the longest of them.

    Parameters
    ----------
    items : numpy.ndarray
        (interactions,) a log's items.
    starts, targets : numpy.ndarray
        (batch,) positions; `starts < targets`.
    users : numpy.ndarray, optional
        (interactions,) the log's users.
    """
    histories, mask = pad(items, starts, targets)
    following, _ = pad(items, starts + 1, targets + 1)
    mine = None if users is None else torch.from_numpy(users[targets].astype(np.int64))
    return Batch(histories, mask, following, mine)


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
