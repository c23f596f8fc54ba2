"""A prompt of ids or titles → T5's encoder → mean pooling → a score for every item: no decoder.

Source: *Rethinking Large Language Model Architectures for Sequential Recommendations*,
arXiv 2402.09543, §3.3: `w/o_d`, which takes the decoder out of POD, and `w/o_d_TID`, which writes
titles in place of ids.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn
from transformers import CONFIG_MAPPING, AutoConfig, T5EncoderModel

from lite_llm4rec.config import check_at_least, check_shares
from lite_llm4rec.data.batching import Batch
from lite_llm4rec.errors import ConfigError
from lite_llm4rec.losses import full_cross_entropy
from lite_llm4rec.models.backbone import mean_pool
from lite_llm4rec.models.base import CatalogueFacts, SequenceModel
from lite_llm4rec.models.generative import WORDS
from lite_llm4rec.models.id_text import STYLES, WordTokens, number_items, pad_rows
from lite_llm4rec.models.t5 import load_t5, save_shared_once


@dataclass(frozen=True)
class PromptEncoderConfig:
    """Settings of the paper's variants without a decoder.

    Attributes
    ----------
    written : "id" or "title"
        `w/o_d` or `w/o_d_TID`.
    backbone, from_scratch, shape
        As in `GenerativeConfig`; titles need a backbone with a tokenizer of its own.
    history_length : int
        How many items a prompt names, at most.
    max_title_tokens : int
        Longer titles are cut.
    whole_words : bool
        Add a vector to each token that says which item of the prompt it is part of.
    numbering, numbering_seed
        As in `GenerativeConfig`.
    dropout : float
        T5's own, at each place where it has one.
    """

    kind: Literal["prompt-encoder"] = "prompt-encoder"
    written: Literal["id", "title"] = "id"
    backbone: str = "google-t5/t5-small"
    from_scratch: bool = False
    shape: dict[str, Any] = field(default_factory=dict)
    history_length: int = 20
    max_title_tokens: int = 32
    whole_words: bool = True
    numbering: Literal["original", "random"] = "random"
    numbering_seed: int = 0
    dropout: float = 0.1

    def __post_init__(self) -> None:
        check_shares(self, "dropout")
        check_at_least(self, 1, "history_length", "max_title_tokens")
        if self.written == "title" and self.backbone in CONFIG_MAPPING:
            raise ConfigError(
                f"The bare model type '{self.backbone}' has no tokenizer to read titles with.",
                'For example: model.backbone = "google-t5/t5-small"',
            )


class PromptEncoder(SequenceModel):
    """T5's encoder over the items of a history as text; a prompt names no user.

    Parameters
    ----------
    t5 : transformers.T5EncoderModel
    tokens : torch.Tensor
        (N, tokens) int64 each item's text, −1 where there is none.
    config : PromptEncoderConfig
    """

    def __init__(self, t5: Any, tokens: torch.Tensor, config: PromptEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.history_length = config.history_length
        self.t5 = t5
        width = t5.config.d_model
        self.whole_words = nn.Embedding(WORDS, width) if config.whole_words else None
        self.head = nn.Linear(width, len(tokens), bias=False)
        self.tokens: torch.Tensor
        self.register_buffer("tokens", tokens)
        save_shared_once(self)

    @classmethod
    def create(cls, config: PromptEncoderConfig, facts: CatalogueFacts) -> "PromptEncoder":
        """Load the T5 that `config` names, and tokenise every item's id or title."""
        t5, tokenizer = load_t5(
            T5EncoderModel,
            config.backbone,
            from_scratch=config.from_scratch,
            shape=config.shape,
            dropout=config.dropout,
        )
        return cls(t5, _item_tokens(config, WordTokens(tokenizer), facts), config)

    @classmethod
    def skeleton(cls, config: PromptEncoderConfig, described: dict[str, Any]) -> "PromptEncoder":
        """Build it with weights to be filled in, from what `describe` gave."""
        values = dict(described["backbone"])
        t5 = T5EncoderModel(AutoConfig.for_model(values.pop("model_type"), **values))
        tokens = torch.full((described["shape"][0], described["tokens"]), -1)
        return cls(t5, tokens, config)

    def describe(self) -> dict[str, Any]:
        """Return what `skeleton` needs to build this model again."""
        n_items, longest = self.tokens.shape
        return {"backbone": self.t5.config.to_dict(), "shape": [n_items, 0], "tokens": longest}

    def user_vectors(self, items: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Encode histories, (batch, width)."""
        tokens, words = self._prompts(items, mask)
        vectors = self.t5.shared(tokens.clamp(min=0))
        if self.whole_words is not None:
            vectors = vectors + self.whole_words(words.clamp(max=WORDS - 1))
        shown = tokens >= 0
        states = self.t5.encoder(inputs_embeds=vectors, attention_mask=shown.long())
        return mean_pool(states.last_hidden_state, shown)

    def item_matrix(self) -> torch.Tensor:
        """Return the head's rows, (N, width)."""
        weight: torch.Tensor = self.head.weight
        return weight

    def training_loss(self, batch: Batch) -> torch.Tensor:
        """Cross-entropy over the whole catalogue."""
        users = self.user_vectors(batch.items, batch.mask)
        return full_cross_entropy(users, self.item_matrix(), batch.targets)

    def _prompts(
        self, items: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Put the items' tokens in a row: (batch, tokens) tokens, −1 behind the end, and words."""
        tokens = self.tokens[items].masked_fill(~mask[:, :, None], -1)
        words = (mask.cumsum(1) * mask)[:, :, None].expand_as(tokens)
        end = torch.full((len(items), 1), self.t5.config.eos_token_id, device=items.device)
        tokens = torch.cat([tokens.flatten(1), end], 1)
        words = torch.cat([words.flatten(1), torch.zeros_like(end)], 1)
        order = (tokens < 0).int().argsort(dim=1, stable=True)  # T5 counts distances: close gaps
        order = order[:, : int((tokens >= 0).sum(1).max())]
        return tokens.gather(1, order), words.gather(1, order)


def _item_tokens(
    config: PromptEncoderConfig, words: WordTokens, facts: CatalogueFacts
) -> torch.Tensor:
    """Tokenise every item, (N, tokens), −1 behind the end."""
    if config.written == "title":
        longest = config.max_title_tokens
        rows = [[*words(title)[:longest], *words(",")] for title in facts.titles]
    else:
        n_items = len(facts.counts)
        numbers = number_items(facts.walk, n_items, config.numbering, config.numbering_seed)
        rows = [words(STYLES["pod"].item.format(number)) for number in numbers.tolist()]
    return pad_rows(rows, -1)[0]
