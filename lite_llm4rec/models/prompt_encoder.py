"""A prompt of ids or titles → T5's encoder → mean pooling → a score for every item: no decoder.

Source: *Rethinking Large Language Model Architectures for Sequential Recommendations*,
arXiv 2402.09543, §3.3: `w/o_d`, which takes the decoder out of POD, and `w/o_d_TID`, which writes
titles in place of ids.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import transformers  # its models take seconds to import, so they are named where they are used
from torch import nn
from transformers import CONFIG_MAPPING, AutoConfig

from lite_llm4rec.config import check_at_least, check_shares
from lite_llm4rec.data.batching import Batch
from lite_llm4rec.errors import ConfigError
from lite_llm4rec.losses import full_cross_entropy
from lite_llm4rec.models.backbone import mean_pool
from lite_llm4rec.models.base import CatalogueFacts, ModelConfig, SequenceModel
from lite_llm4rec.models.generative import WORDS
from lite_llm4rec.models.id_text import STYLES, WordTokens, pad_rows
from lite_llm4rec.models.item_numbers import ORIGINAL_LEAKS, number_items
from lite_llm4rec.models.t5 import load_t5, save_shared_once


@dataclass(frozen=True)
class PromptEncoderConfig(ModelConfig):
    """Settings of the paper's variants without a decoder.

    Attributes
    ----------
    style : "p5" or "pod"
        Whose prompt it is: POD's are the items alone, P5's have words around and between them.
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
    style: Literal["p5", "pod"] = "pod"
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
    before, after : torch.Tensor
        (tokens,) int64 what stands around the items, the end among it.
    config : PromptEncoderConfig
    """

    def __init__(
        self,
        t5: Any,
        tokens: torch.Tensor,
        before: torch.Tensor,
        after: torch.Tensor,
        config: PromptEncoderConfig,
    ) -> None:
        super().__init__()
        self.config = config
        self.history_length = config.history_length
        self.t5 = t5
        width = t5.config.d_model
        self.whole_words = nn.Embedding(WORDS, width) if config.whole_words else None
        self.head = nn.Linear(width, len(tokens), bias=False)
        self.tokens: torch.Tensor
        self.before: torch.Tensor
        self.after: torch.Tensor
        self.register_buffer("tokens", tokens)
        self.register_buffer("before", before)
        self.register_buffer("after", after)
        save_shared_once(self)

    def leaks(self) -> list[str]:
        """Say so where neighbours in a history have neighbouring numbers."""
        written = self.config.written == "id" and self.config.numbering == "original"
        return [ORIGINAL_LEAKS] if written else []

    @classmethod
    def create(cls, config: PromptEncoderConfig, facts: CatalogueFacts) -> "PromptEncoder":
        """Load the T5 that `config` names, and tokenise every item's id or title."""
        t5, tokenizer = load_t5(
            transformers.T5EncoderModel,
            config.backbone,
            from_scratch=config.from_scratch,
            shape=config.shape,
            dropout=config.dropout,
        )
        words = WordTokens(tokenizer)
        return cls(t5, _item_tokens(config, words, facts), *_around(config, words), config)

    @classmethod
    def skeleton(cls, config: PromptEncoderConfig, described: dict[str, Any]) -> "PromptEncoder":
        """Build it with weights to be filled in, from what `describe` gave."""
        values = dict(described["backbone"])
        t5 = transformers.T5EncoderModel(AutoConfig.for_model(values.pop("model_type"), **values))
        tokens = torch.full((described["shape"][0], described["tokens"]), -1)
        before, after = (torch.zeros(length, dtype=torch.long) for length in described["around"])
        return cls(t5, tokens, before, after, config)

    def describe(self) -> dict[str, Any]:
        """Return what `skeleton` needs to build this model again."""
        n_items, longest = self.tokens.shape
        return {
            "backbone": self.t5.config.to_dict(),
            "shape": [n_items, 0],
            "tokens": longest,
            "around": [len(self.before), len(self.after)],
        }

    def user_vectors(self, items: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Encode histories, (batch, width)."""
        tokens, words = self.prompts(items, mask)
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

    def prompts(self, items: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Put the items' tokens in a row: (batch, tokens) tokens, −1 behind the end, and words."""
        tokens = self.tokens[items].masked_fill(~mask[:, :, None], -1)
        words = (mask.cumsum(1) * mask)[:, :, None].expand_as(tokens)
        before, after = (part.expand(len(items), -1) for part in (self.before, self.after))
        tokens = torch.cat([before, tokens.flatten(1), after], 1)
        words = nn.functional.pad(words.flatten(1), (before.shape[1], after.shape[1]))
        order = (tokens < 0).int().argsort(dim=1, stable=True)  # T5 counts distances: close gaps
        order = order[:, : int((tokens >= 0).sum(1).max())]
        return tokens.gather(1, order), words.gather(1, order)


def _item_tokens(
    config: PromptEncoderConfig, words: WordTokens, facts: CatalogueFacts
) -> torch.Tensor:
    """Tokenise every item and what parts it from the next, (N, tokens), −1 behind the end."""
    style = STYLES[config.style]
    if config.written == "title":
        longest = config.max_title_tokens
        rows = [[*words(title)[:longest], *words(",")] for title in facts.titles]
    else:
        assert facts.split is not None
        numbers = number_items(facts.split, config.numbering, config.numbering_seed)
        between = words(style.separator) if style.separator else []
        rows = [[*words(style.item.format(number)), *between] for number in numbers.tolist()]
    return pad_rows(rows, -1)[0]


def _around(config: PromptEncoderConfig, words: WordTokens) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokenise what stands before and after the items, the user left out."""
    before, _, after = STYLES[config.style].next_item[0].replace("{user}", "").partition("{items}")
    tokens = [[token for word in text.split() for token in words(word)] for text in (before, after)]
    return torch.tensor(tokens[0], dtype=torch.long), torch.tensor([*tokens[1], words.end])
