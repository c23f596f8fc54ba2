"""What several models share: two small transformers and how states become user vectors."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from lite_llm4rec.errors import ConfigError, nearest

ROTARY_BASE = 10_000.0
POSITIONS = ["learned", "rotary"]
BERT_STD = 0.02
NORM_EPS = 1e-12  # BERT's


class CausalTransformer(nn.Module):
    """A small transformer made from scratch, in which a position sees itself and the past.

    Pre-norm blocks with GELU. Histories are padded at their end, where no real position looks, so
    that no mask is needed.

    Parameters
    ----------
    width, blocks, heads : int
    length : int
        The longest sequence.
    inner : int
        Width of the feed-forward part.
    dropout : float
        After the positions and on what each block adds; attention weights have none.
    positions : "learned" or "rotary"
        A vector added to each place, or queries and keys turned by their place, so that attention
        knows distances alone.
    """

    def __init__(
        self,
        width: int,
        blocks: int,
        heads: int,
        length: int,
        inner: int,
        dropout: float,
        positions: str,
    ) -> None:
        super().__init__()
        self.width = width
        rotary = positions == "rotary"
        self.positions = None if rotary else nn.Parameter(torch.randn(length, width) * 0.02)
        self.dropout = nn.Dropout(dropout)
        self.norm_in = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(
            Block(width, heads, inner, dropout, rotary) for _ in range(blocks)
        )
        self.norm_out = nn.LayerNorm(width)

    def forward(self, vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Encode, (batch, length, width) → (batch, length, width)."""
        if self.positions is not None:
            vectors = vectors + self.positions[: vectors.shape[1]]
        states = self.dropout(self.norm_in(vectors))
        for block in self.blocks:
            states = block(states)
        normed: torch.Tensor = self.norm_out(states)
        return normed


class Block(nn.Module):
    """One pre-norm transformer block with causal attention."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float, rotary: bool) -> None:
        super().__init__()
        self.attention = Attention(width, heads, dropout=0.0, rotary=rotary)
        self.norm_attention = nn.LayerNorm(width)
        self.norm_inner = nn.LayerNorm(width)
        self.inner = nn.Linear(width, inner)
        self.outer = nn.Linear(inner, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Add attention, then the feed-forward part, (batch, length, width)."""
        normed = self.norm_attention(states)
        states = states + self.dropout(self.attention(normed, normed))
        inner = functional.gelu(self.inner(self.norm_inner(states)), approximate="tanh")
        added: torch.Tensor = self.dropout(self.outer(inner))
        return states + added


class PostNormTransformer(nn.Module):
    """Blocks as in BERT: each part's output is added to what came in, then normed.

    Source: Devlin et al., 2019; BERT4Rec, S3-Rec and RecBole's FDSA have these. Positions are
    added by the model.

    Parameters
    ----------
    width, blocks, heads : int
    inner : int
        Width of the feed-forward part.
    dropout, attention_dropout : float
        Of what each part adds, and of the attention weights.
    """

    def __init__(
        self,
        width: int,
        blocks: int,
        heads: int,
        inner: int,
        dropout: float,
        attention_dropout: float,
    ) -> None:
        super().__init__()
        check_heads(width, heads)
        self.blocks = nn.ModuleList(
            PostNormBlock(width, heads, inner, dropout, attention_dropout) for _ in range(blocks)
        )

    def forward(self, states: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Encode, (batch, length, width); causal without a mask, else two-way.

        `mask` (batch, length) bool marks the positions that may be looked at.
        """
        allowed = None if mask is None else mask[:, None, None, :]
        for block in self.blocks:
            states = block(states, allowed)
        return states


class PostNormBlock(nn.Module):
    """One block of it."""

    def __init__(
        self, width: int, heads: int, inner: int, dropout: float, attention_dropout: float
    ) -> None:
        super().__init__()
        self.attention = Attention(width, heads, attention_dropout)
        self.norm_attention = nn.LayerNorm(width, NORM_EPS)
        self.inner = nn.Linear(width, inner)
        self.outer = nn.Linear(inner, width)
        self.norm_outer = nn.LayerNorm(width, NORM_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: torch.Tensor, allowed: torch.Tensor | None) -> torch.Tensor:
        """Attend, then the feed-forward part, (batch, length, width)."""
        mixed = self.dropout(self.attention(states, states, allowed))
        states = self.norm_attention(states + mixed)
        outer = self.dropout(self.outer(functional.gelu(self.inner(states))))
        normed: torch.Tensor = self.norm_outer(states + outer)
        return normed


def draw_bert_weights(module: nn.Module) -> None:
    """Draw a linear layer's weights as BERT does; for `nn.Module.apply`."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=BERT_STD)
        nn.init.zeros_(module.bias)


class Attention(nn.Module):
    """Multi-head attention: to the past and the position itself, or where it is allowed."""

    def __init__(self, width: int, heads: int, dropout: float, rotary: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.rate = dropout
        self.rotary = rotary
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self, queries: torch.Tensor, states: torch.Tensor, allowed: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Attend from `queries` to `states`, both (batch, length, width).

        Causal without `allowed`; it is bool, of a shape that fits (batch, heads, length, length).
        """
        batch, length, width = states.shape
        shape = (batch, length, self.heads, width // self.heads)
        key, value = self.key_value(states).chunk(2, -1)
        mixed = self._mix(
            self.query(queries).view(shape).transpose(1, 2),
            key.view(shape).transpose(1, 2),
            value.view(shape).transpose(1, 2),
            allowed,
        )
        out: torch.Tensor = self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return out

    def _mix(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        allowed: torch.Tensor | None,
    ) -> torch.Tensor:
        if self.rotary:
            query, key = rotate(query), rotate(key)
        attend = functional.scaled_dot_product_attention
        rate, causal = self.rate if self.training else 0.0, allowed is None
        if query.device.type != "cpu":
            return attend(query, key, value, allowed, dropout_p=rate, is_causal=causal)
        with torch.autocast("cpu", enabled=False):  # torch's bf16 attention is slow on CPUs
            query, key, value = query.float(), key.float(), value.float()
            return attend(query, key, value, allowed, dropout_p=rate, is_causal=causal)


def rotate(vectors: torch.Tensor) -> torch.Tensor:
    """Turn pairs of dimensions by angles that grow with the place, (…, length, even dim).

    The product of two turned vectors depends on their distance alone. Source: Su et al., 2021
    (RoFormer), Eq. 34, with a vector's halves as pairs.
    """
    length, half = vectors.shape[-2], vectors.shape[-1] // 2
    places = torch.arange(length, device=vectors.device, dtype=torch.float32)
    slowness = torch.arange(half, device=vectors.device, dtype=torch.float32) / half
    angles = places[:, None] * ROTARY_BASE**-slowness
    cos, sin = angles.cos().to(vectors.dtype), angles.sin().to(vectors.dtype)
    first, second = vectors[..., :half], vectors[..., half:]
    return torch.cat([first * cos - second * sin, first * sin + second * cos], -1)


def running_mean(states: torch.Tensor) -> torch.Tensor:
    """Average over the positions up to each, (batch, length, dim)."""
    count = torch.arange(1, states.shape[1] + 1, device=states.device, dtype=torch.float32)
    mean: torch.Tensor = states.float().cumsum(1) / count[:, None]
    return mean.to(states.dtype)


def build_transformer(shape: dict[str, Any], length: int, dropout: float) -> CausalTransformer:
    """Build the transformer from its config's `shape`: width, blocks, heads, inner, positions.

    Raises
    ------
    ConfigError
        On another key, a size that is no whole number, an unknown kind of positions, or a width
        that the heads do not divide.
    """
    for key in ("width", "blocks", "heads", "inner"):
        value = shape.get(key, 1)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigError(
                f"model.shape.{key} is {value!r}.", "It is a whole number, 1 or more."
            )
    width = shape.get("width", 64)
    usual = {"width": width, "blocks": 2, "heads": 2, "inner": 4 * width, "positions": "learned"}
    for key in shape:
        if key not in usual:
            raise ConfigError(f"model.shape has no '{key}'", nearest(key, list(usual)))
    whole = {**usual, **shape}
    if whole["positions"] not in POSITIONS:
        raise ConfigError(
            f"model.shape.positions is '{whole['positions']}'.",
            nearest(str(whole["positions"]), POSITIONS),
        )
    check_heads(width, whole["heads"])
    if whole["positions"] == "rotary" and width // whole["heads"] % 2:
        raise ConfigError(
            f"Rotary positions need an even width per head, not {width // whole['heads']}.",
            'Choose another number of heads, or positions = "learned".',
        )
    return CausalTransformer(length=length, dropout=dropout, **whole)


def check_heads(width: int, heads: int) -> None:
    """See that the heads divide the width.

    Raises
    ------
    ConfigError
        When they do not.
    """
    if heads < 1 or width % heads:
        raise ConfigError(
            f"{heads} heads do not divide a width of {width}.", "For example: heads = 2"
        )
