"""Losses: functions of (user vectors, item matrix, targets[, negatives]) that know no model."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.nn import functional

from lite_llm4rec.config import check_at_least
from lite_llm4rec.errors import ConfigError

LOSS_BYTES = 16 * 2**20


@dataclass(frozen=True)
class LossConfig:
    """Which loss, and what it needs.

    Attributes
    ----------
    name : "full", "sampled", "gbce" or "bce"
        Full cross-entropy; sampled softmax; gBCE; binary cross-entropy.
    negatives : int
        How many a sampled loss draws.
    draw : "uniform" or "popular"
        Whether each item is as likely to be drawn as any other, or as often as it occurs in
        training; sampled softmax corrects for either (logQ).
    shared : bool
        Whether all targets of a step share their negatives, which is far cheaper.
    t : float
        gBCE's calibration, from 0 to 1.
    max_bytes : int
        Bound on the logits that the full loss holds at once.
    """

    name: Literal["full", "sampled", "gbce", "bce"] = "full"
    negatives: int = 256
    draw: Literal["uniform", "popular"] = "uniform"
    shared: bool = False
    t: float = 0.75
    max_bytes: int = LOSS_BYTES

    def __post_init__(self) -> None:
        check_at_least(self, 1, "negatives", "max_bytes")
        if not 0 <= self.t <= 1:
            raise ConfigError(f"t must be from 0 to 1, not {self.t}.", "For example: t = 0.75")


def catalogue_loss(
    users: torch.Tensor,
    items: torch.Tensor,
    targets: torch.Tensor,
    counts: torch.Tensor,
    config: LossConfig,
) -> torch.Tensor:
    """Compute the loss that `config` names; negatives come from torch's generator.

    Parameters
    ----------
    users : torch.Tensor
        (targets, dim).
    items : torch.Tensor
        (N, dim).
    targets : torch.Tensor
        (targets,) item numbers.
    counts : torch.Tensor
        (N,) training interactions of each item; what popular draws follow.

    Returns
    -------
    torch.Tensor
        Scalar.
    """
    if config.name == "full":
        return full_cross_entropy(users, items, targets, config.max_bytes)
    weights = counts.float() if config.draw == "popular" else torch.ones_like(counts.float())
    shape = (config.negatives,) if config.shared else (len(targets), config.negatives)
    drawn = torch.multinomial(weights, math.prod(shape), replacement=True)
    negatives = drawn.view(shape)
    if config.name == "sampled":
        log_q = (weights / weights.sum()).clamp_min(1e-12).log()
        return sampled_cross_entropy(users, items, targets, negatives, log_q)
    t = config.t if config.name == "gbce" else 0.0
    return binary_cross_entropy(users, items, targets, negatives, t)


def full_cross_entropy(
    users: torch.Tensor,
    items: torch.Tensor,
    targets: torch.Tensor,
    max_bytes: int = LOSS_BYTES,
) -> torch.Tensor:
    """Softmax cross-entropy over the whole catalogue, in bounded memory.

    The targets are worked off in chunks, and each chunk's gradient is made while its logits are
    still in the processor's cache, which is faster on a CPU than cross-entropy of the whole logits
    and than `torch.nn.functional.linear_cross_entropy` (`benchmarks/losses.py`). Under autocast the
    products run in bf16 and sums stay in fp32.

    Parameters
    ----------
    users : torch.Tensor
        (targets, dim).
    items : torch.Tensor
        (N, dim).
    targets : torch.Tensor
        (targets,) item numbers.
    max_bytes : int
        Bound on the logits held at once; at least one target's are.

    Returns
    -------
    torch.Tensor
        Scalar mean, in nats. Differentiable once. Source: paper Eq. 6.
    """
    apply: Callable[..., torch.Tensor] = _ChunkedCrossEntropy.apply
    return apply(users, items, targets, max_bytes)


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, users: torch.Tensor, items: torch.Tensor, targets: torch.Tensor, max_bytes: int
    ) -> torch.Tensor:
        device = users.device.type
        autocast = torch.is_autocast_enabled(device)
        kind = torch.get_autocast_dtype(device) if autocast else items.dtype
        low_users, low_items = users.detach().to(kind), items.detach().to(kind)
        exact = torch.promote_types(items.dtype, torch.float32)  # a projected table may be bf16
        user_grad, item_grad = torch.empty_like(low_users), torch.zeros_like(items, dtype=exact)
        total = torch.zeros((), dtype=exact, device=items.device)
        rows = max(1, max_bytes // (len(items) * low_items.element_size()))
        with torch.autocast(device, enabled=False):  # CUDA's would give the softmax in fp32
            for start in range(0, len(users), rows):
                chunk, own = low_users[start : start + rows], targets[start : start + rows, None]
                logs = torch.log_softmax(chunk @ low_items.T, 1)
                total -= logs.gather(1, own).sum(dtype=exact)
                gradient = logs.exp_()
                gradient.scatter_add_(1, own, torch.full_like(own, -1, dtype=kind))
                torch.mm(gradient, low_items, out=user_grad[start : start + rows])
                item_grad += gradient.T @ chunk
        ctx.save_for_backward(user_grad, item_grad)
        ctx.kinds = users.dtype, items.dtype
        return total / len(users)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        user_grad, item_grad = ctx.saved_tensors
        scale = gradients[0] / len(user_grad)
        users, items = ctx.kinds
        return (user_grad * scale).to(users), (item_grad * scale).to(items), None, None


def sampled_cross_entropy(
    users: torch.Tensor,
    items: torch.Tensor,
    targets: torch.Tensor,
    negatives: torch.Tensor,
    log_q: torch.Tensor,
) -> torch.Tensor:
    """Softmax cross-entropy over the target and sampled negatives, corrected by logQ.

    Parameters
    ----------
    users : torch.Tensor
        (targets, dim).
    items : torch.Tensor
        (N, dim).
    targets : torch.Tensor
        (targets,) item numbers.
    negatives : torch.Tensor
        (n,) item numbers shared by all targets, or (targets, n). A target that is drawn stays
        among them: without it no number of negatives would come to the right probabilities.
    log_q : torch.Tensor
        (N,) logarithm of each item's probability to be drawn. Subtracted from the logits, so that
        the loss has the minimum that full cross-entropy has. Source: Bengio & Senécal, 2008; Yi et
        al., 2019; for draws that keep the target, Ma & Collins, 2018 (ranking NCE).

    Returns
    -------
    torch.Tensor
        Scalar mean, in nats.
    """
    own, others = _positive(users, items, targets), _negative(users, items, negatives)
    own, others = own - log_q[targets], others - log_q[negatives]
    logits = _at_least_fp32(torch.cat([own[:, None], others], 1))
    return -torch.log_softmax(logits, 1)[:, 0].mean()


def binary_cross_entropy(
    users: torch.Tensor,
    items: torch.Tensor,
    targets: torch.Tensor,
    negatives: torch.Tensor,
    t: float = 0.0,
) -> torch.Tensor:
    """gBCE: binary cross-entropy with the target's probability raised to a power β.

    β = α(t(1 − 1/α) + 1/α), where α is the share of the other items that is sampled: t = 0 gives
    SASRec's own binary cross-entropy, t = 1 removes the overconfidence that sampling causes.
    Source: Kang & McAuley, 2018, Eq. 9; Petrov & Macdonald, 2023 (gSASRec), Eq. 10–12.

    A score of 0 stands for the target's share β / (β + n) of the weight, which moves all scores by
    one number and no ranking. The authors' scores begin at a half instead: with hundreds of
    negatives the first thousands of steps go into lowering them all. With t = 0 and one negative,
    as in SASRec, it is the same.

    Parameters
    ----------
    users, items, targets
        As in `full_cross_entropy`.
    negatives : torch.Tensor
        (targets, n) or (n,) item numbers; a target's own counts as a negative too, as in gSASRec.
        SASRec's authors draw outside the user's items.
    t : float
        From 0 to 1.

    Returns
    -------
    torch.Tensor
        Scalar: the sum over the target and its n negatives, mean over targets.
    """
    sampled = negatives.shape[-1] / max(len(items) - 1, 1)
    beta = sampled * (t * (1 - 1 / sampled) + 1 / sampled)
    start = math.log(beta / negatives.shape[-1])
    own = _at_least_fp32(_positive(users, items, targets)) + start
    others = _at_least_fp32(_negative(users, items, negatives)) + start
    positive = beta * functional.logsigmoid(own)
    return -(positive + functional.logsigmoid(-others).sum(1)).mean()


def _at_least_fp32(values: torch.Tensor) -> torch.Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _positive(users: torch.Tensor, items: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Score each target, (targets,)."""
    scores: torch.Tensor = (users * items[targets]).sum(1)
    return scores


def _negative(users: torch.Tensor, items: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
    """Score the negatives, (targets, n)."""
    if negatives.ndim == 1:
        return users @ items[negatives].T
    scores: torch.Tensor = torch.einsum("bd,bnd->bn", users, items[negatives])
    return scores
