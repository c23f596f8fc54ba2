"""Losses: functions of (user vectors, item matrix, targets) that know no model."""

import torch
from torch.nn import functional


def full_cross_entropy(
    users: torch.Tensor, items: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """Softmax cross-entropy over the whole catalogue.

    Parameters
    ----------
    users : torch.Tensor
        (batch, dim).
    items : torch.Tensor
        (N, dim).
    targets : torch.Tensor
        (batch,) item numbers.

    Returns
    -------
    torch.Tensor
        Scalar mean, in nats. Source: paper Eq. 6.
    """
    return functional.cross_entropy(users @ items.T, targets)
