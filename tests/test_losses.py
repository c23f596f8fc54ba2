"""Losses against torch's own cross-entropy, and against sums written out."""

import math

import pytest
import torch
from torch.nn import functional

from lite_llm4rec.errors import ConfigError
from lite_llm4rec.losses import (
    LossConfig,
    binary_cross_entropy,
    catalogue_loss,
    full_cross_entropy,
    sampled_cross_entropy,
)

N_ITEMS, DIM, TARGETS = 11, 4, 7
COUNTS = torch.arange(1, N_ITEMS + 1)


def world(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    users = torch.randn(TARGETS, DIM, generator=draw, dtype=dtype, requires_grad=True)
    items = torch.randn(N_ITEMS, DIM, generator=draw, dtype=dtype, requires_grad=True)
    return users, items, torch.randint(N_ITEMS, (TARGETS,), generator=draw)


def value_and_gradients(loss, *inputs):
    value = loss(*inputs)
    return value, *torch.autograd.grad(3 * value, inputs[:2])


@pytest.mark.parametrize("rows", [1, 2, 7, 100])
def test_full_is_torchs_cross_entropy_whatever_the_chunk(rows: int):
    users, items, targets = world()
    expected = value_and_gradients(
        lambda u, i: functional.cross_entropy(u @ i.T, targets), users, items
    )
    found = value_and_gradients(
        lambda u, i: full_cross_entropy(u, i, targets, rows * N_ITEMS * 8), users, items
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_a_bound_below_one_targets_logits_works_one_by_one():
    users, items, targets = world()
    expected = full_cross_entropy(users, items, targets)
    torch.testing.assert_close(full_cross_entropy(users, items, targets, 1), expected)


def test_full_gradients_pass_gradcheck():
    users, items, targets = world()
    assert torch.autograd.gradcheck(
        lambda u, i: full_cross_entropy(u, i, targets, 200), (users, items)
    )


def test_under_autocast_full_stays_near_and_sums_in_fp32():
    users, items, targets = world(torch.float32)
    exact = value_and_gradients(lambda u, i: full_cross_entropy(u, i, targets), users, items)
    with torch.autocast("cpu", torch.bfloat16):
        near = value_and_gradients(lambda u, i: full_cross_entropy(u, i, targets), users, items)
    for one, other in zip(near, exact, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("max_bytes", [1, 2**30])
def test_of_a_bf16_table_full_sums_in_fp32(max_bytes: int):
    """A projected table is bf16 under autocast; a sum over single targets must not be."""
    torch.manual_seed(0)
    users, items = torch.randn(2000, 16), torch.randn(300, 16).bfloat16().float()
    users.requires_grad_()
    items.requires_grad_()
    targets = torch.randint(0, 300, (2000,))
    exact = value_and_gradients(lambda u, i: full_cross_entropy(u, i, targets), users, items)

    def low(u: torch.Tensor, i: torch.Tensor) -> torch.Tensor:
        return full_cross_entropy(u, i.bfloat16(), targets, max_bytes)

    with torch.autocast("cpu", torch.bfloat16):
        near = value_and_gradients(low, users, items)
    assert near[0].item() == pytest.approx(exact[0].item(), rel=0.005)
    apart = (near[2] - exact[2]).norm() / exact[2].norm()
    assert apart < 0.02


def test_full_leaves_nothing_to_autocast_whose_softmax_is_fp32_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch,
):
    def as_on_a_gpu(values: torch.Tensor, dim: int) -> torch.Tensor:
        found = values.float() if torch.is_autocast_enabled("cpu") else values
        return torch.nn.functional.log_softmax(found, dim)

    users, items, targets = world(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        expected = value_and_gradients(lambda u, i: full_cross_entropy(u, i, targets), users, items)
        monkeypatch.setattr(torch, "log_softmax", as_on_a_gpu)
        found = value_and_gradients(lambda u, i: full_cross_entropy(u, i, targets), users, items)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_sampled_over_every_other_item_with_their_logq_is_full():
    users, items, targets = world()
    everyone = torch.arange(N_ITEMS).expand(TARGETS, N_ITEMS)
    others = everyone[everyone != targets[:, None]].view(TARGETS, N_ITEMS - 1)
    log_q = torch.full((N_ITEMS,), -math.log(N_ITEMS), dtype=torch.float64)
    torch.testing.assert_close(
        sampled_cross_entropy(users, items, targets, others, log_q),
        full_cross_entropy(users, items, targets),
        check_dtype=False,
    )


def test_own_negatives_equal_shared_ones_when_they_are_the_same():
    users, items, targets = world()
    log_q = torch.zeros(N_ITEMS, dtype=torch.float64)
    shared = torch.tensor([1, 5, 9])
    for loss in (
        lambda n: sampled_cross_entropy(users, items, targets, n, log_q),
        lambda n: binary_cross_entropy(users, items, targets, n, 0.5),
    ):
        torch.testing.assert_close(loss(shared), loss(shared.expand(TARGETS, 3)))


def test_bce_is_the_sum_written_out():
    users, items, targets = world()
    negatives = torch.arange(TARGETS)[:, None] % N_ITEMS
    own = (users * items[targets]).sum(1)
    other = (users * items[negatives[:, 0]]).sum(1)
    expected = -(torch.sigmoid(own).log() + torch.sigmoid(-other).log()).mean()
    torch.testing.assert_close(binary_cross_entropy(users, items, targets, negatives), expected)


def test_gbce_with_t_1_raises_the_target_to_the_sampled_share():
    users, items, targets = world()
    negatives = torch.zeros(TARGETS, 2, dtype=torch.int64)
    share = 2 / (N_ITEMS - 1)
    start = math.log(share / 2)
    own = (users * items[targets]).sum(1) + start
    other = (users * items[0]).sum(1) + start
    expected = -(share * torch.sigmoid(own).log() + 2 * torch.sigmoid(-other).log()).mean()
    found = binary_cross_entropy(users, items, targets, negatives, 1.0)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("n", "t"), [(1, 0.0), (4, 0.0), (4, 0.75), (4, 1.0)])
def test_binary_scores_of_zero_need_no_common_move(n: int, t: float):
    everywhere = torch.zeros((), dtype=torch.float64, requires_grad=True)
    users, items = torch.ones(TARGETS, 1).double(), everywhere.expand(N_ITEMS, 1)
    targets, negatives = torch.zeros(TARGETS, dtype=torch.int64), torch.arange(1, 1 + n)
    binary_cross_entropy(users, items, targets, negatives, t).backward()
    assert everywhere.grad is not None and abs(everywhere.grad) < 1e-12


@pytest.mark.parametrize("name", ["full", "sampled", "gbce", "bce"])
@pytest.mark.parametrize("shared", [True, False])
def test_each_name_gives_a_loss_that_falls_when_the_target_wins(name: str, shared: bool):
    items = torch.eye(N_ITEMS)
    targets = torch.arange(TARGETS)
    config = LossConfig(name, negatives=5, shared=shared)  # type: ignore[arg-type]
    torch.manual_seed(0)
    right = catalogue_loss(5 * items[targets], items, targets, COUNTS, config)
    torch.manual_seed(0)
    wrong = catalogue_loss(5 * items[targets + 1], items, targets, COUNTS, config)
    assert right < wrong


@pytest.mark.parametrize("draw", ["uniform", "popular"])
def test_many_negatives_estimate_the_full_loss_however_they_are_drawn(draw: str):
    """Sampled softmax over n draws is near log n below full cross-entropy, whatever the draw."""
    users, items, targets = world()
    n = 100_000
    torch.manual_seed(0)
    config = LossConfig("sampled", negatives=n, draw=draw, shared=True)  # type: ignore[arg-type]
    found = catalogue_loss(users, items, targets, COUNTS, config)
    logits = users @ items.T
    own = logits.gather(1, targets[:, None])[:, 0]
    q = {"uniform": torch.full((N_ITEMS,), 1 / N_ITEMS), "popular": COUNTS / COUNTS.sum()}[draw]
    whole = n * logits.exp().sum(1) + own.exp() / q[targets]
    expected = (whole.log() - own + q[targets].log()).mean()
    torch.testing.assert_close(found, expected, rtol=5e-3, atol=0)


@pytest.mark.parametrize(
    "q", [[0.25, 0.25, 0.25, 0.25], [0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1]]
)
def test_sampled_has_no_gradient_at_the_true_probabilities(q: list[float]):
    """Summed over every target and every two draws, each as often as it comes."""
    true, drawn = torch.tensor([0.6, 0.25, 0.1, 0.05]).double(), torch.tensor(q).double()
    scores = true.log().requires_grad_()
    total = torch.zeros((), dtype=torch.float64)
    for target in range(4):
        for first in range(4):
            for second in range(4):
                loss = sampled_cross_entropy(
                    torch.ones(1, 1).double(), scores[:, None], torch.tensor([target]),
                    torch.tensor([first, second]), drawn.log(),
                )  # fmt: skip
                total = total + true[target] * drawn[first] * drawn[second] * loss
    (gradient,) = torch.autograd.grad(total, scores)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", ["full", "sampled", "gbce", "bce"])
def test_a_catalogue_of_one_item_has_a_loss(name: str):
    config = LossConfig(name, negatives=3)  # type: ignore[arg-type]
    one = torch.zeros(2, dtype=torch.int64)
    loss = catalogue_loss(torch.ones(2, 4), torch.ones(1, 4), one, torch.ones(1), config)
    assert loss.isfinite()


@pytest.mark.parametrize("t", [-0.1, 1.1])
def test_a_calibration_that_is_none_is_refused(t: float):
    with pytest.raises(ConfigError, match="t must be from 0 to 1"):
        LossConfig("gbce", t=t)
