"""P5, POD and LightLM: a T5 that reads a history as text and writes the next item's id.

Source: Geng et al., *Recommendation as Language Processing*, RecSys 2022; Li et al., *Prompt
Distillation for Efficient LLM-based Recommendation*, CIKM 2023; Mei & Zhang, *LightLM*, 2023.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import transformers  # its models take seconds to import, so they are named where they are used
from torch import nn
from transformers import AutoConfig, LogitsProcessorList
from transformers.modeling_outputs import BaseModelOutput

from lite_llm4rec.config import check_at_least, check_shares
from lite_llm4rec.data.batching import Batch
from lite_llm4rec.errors import ConfigError
from lite_llm4rec.models.base import CatalogueFacts, GenerativeModel, ModelConfig, RankedLists
from lite_llm4rec.models.id_catalogue import IdCatalogue
from lite_llm4rec.models.id_text import STYLES, Prompts, WordTokens
from lite_llm4rec.models.id_trie import IdTrie, OnlyItems
from lite_llm4rec.models.item_numbers import ORIGINAL_LEAKS, Numbering, number_items
from lite_llm4rec.models.prompt_writer import PromptWriter
from lite_llm4rec.models.t5 import load_t5, save_shared_once
from lite_llm4rec.text.encoder import load_tokenizer

WORDS = 512  # whole-word numbers; what is beyond shares the last, as P5's table has 512 rows
IGNORED = -100  # the label that cross-entropy leaves out
NEXT, CHOOSE = 0, 1  # tasks, each with prompt vectors of its own


@dataclass(frozen=True)
class GenerativeConfig(ModelConfig):
    """Settings of a system that writes ids.

    Attributes
    ----------
    style : "p5", "pod" or "lightlm"
        How prompts and answers are written: see `id_text.STYLES`. LightLM's names the user alone.
    backbone : str
        A T5: a Hub name, a local folder, or "t5" for one from scratch with a tokenizer of digits.
    from_scratch : bool
        Draw its weights anew.
    shape : dict
        Settings of its own config to change; see `load_t5`.
    history_length : int
        How many items a prompt names, at most.
    prompt_vectors : int
        Continuous vectors put before each prompt, per task (POD has 3).
    whole_words : bool
        Add a vector to each token that says which word of the prompt it is part of.
    numbering : "original", "random" or "collaborative"
        See `number_items`: "original" leaks, "random" is the honest one, "collaborative" is
        LightLM's own, from the training part alone.
    numbering_seed : int
    clusters, cluster_size : int
        Of "collaborative": how many a cluster is cut into, and up to how many items it is not.
    constrained : bool
        Write nothing but ids of the catalogue. P5 and POD do not; LightLM does.
    beams : int
        Width of the beam search, and the length of its lists; in evaluation both are 20 at least.
    length_penalty : float
        Exponent of the length by which an output's log-probability is divided.
    early_stopping : bool
        Stop a search as soon as it has as many whole outputs as beams.
    max_target_tokens : int
        Longer outputs are cut, where they are not constrained and the ids are no longer.
    dropout : float
        T5's own, at each place where it has one.
    choose_share : float
        Share of the training examples that are written as P5's and POD's second task, top-N: the
        target among 99 items that the user is not known to have had, without the history.
    validation_cases : int
        See `GenerativeModel`.
    """

    kind: Literal["generative"] = "generative"
    style: Literal["p5", "pod", "lightlm"] = "pod"
    backbone: str = "google-t5/t5-small"
    from_scratch: bool = False
    shape: dict[str, Any] = field(default_factory=dict)
    history_length: int = 20
    prompt_vectors: int = 0
    whole_words: bool = True
    numbering: Numbering = "random"
    numbering_seed: int = 0
    clusters: int = 50
    cluster_size: int = 100
    constrained: bool = False
    beams: int = 20
    length_penalty: float = 1.0
    early_stopping: bool = True
    max_target_tokens: int = 10
    dropout: float = 0.1
    choose_share: float = 0.0
    validation_cases: int = 1000

    def __post_init__(self) -> None:
        check_shares(self, "dropout", "choose_share")
        check_at_least(self, 1, "history_length", "beams", "max_target_tokens", "validation_cases")
        check_at_least(self, 0, "prompt_vectors")
        check_at_least(self, 2, "clusters", "cluster_size")
        if self.choose_share and not STYLES[self.style].choose:
            raise ConfigError(
                f"The style {self.style} has no prompts to choose from candidates.",
                "Set model.choose_share = 0.",
            )


class GenerativeRec(GenerativeModel):
    """A T5 encoder-decoder over prompts that name users and items by numbers.

    Parameters
    ----------
    t5 : transformers.T5ForConditionalGeneration
    tokenizer : transformers.PreTrainedTokenizerBase, optional
        May come later, by `load_tokenizer`.
    config : GenerativeConfig
    numbers : torch.Tensor
        (N,) or (N, parts) int64 what each item is written with: see `number_items`.
    """

    def __init__(
        self, t5: Any, tokenizer: Any, config: GenerativeConfig, numbers: torch.Tensor
    ) -> None:
        super().__init__()
        self.config = config
        self.style = STYLES[config.style]
        self.history_length = config.history_length
        self.validation_cases = config.validation_cases
        self.beams = config.beams
        self.n_items = len(numbers)
        self.t5 = t5
        width = t5.config.d_model
        self.whole_words = nn.Embedding(WORDS, width) if config.whole_words else None
        self.prompts = nn.Parameter(
            torch.empty(2, config.prompt_vectors, width).uniform_(-0.1, 0.1)
        )
        self.numbers: torch.Tensor
        self.register_buffer("numbers", numbers)
        self.words = None if tokenizer is None else WordTokens(tokenizer)
        self._catalogue: IdCatalogue | None = None
        save_shared_once(self)

    @classmethod
    def create(cls, config: GenerativeConfig, facts: CatalogueFacts) -> "GenerativeRec":
        """Load the T5 that `config` names, and number the items."""
        t5, tokenizer = load_t5(
            transformers.T5ForConditionalGeneration,
            config.backbone,
            from_scratch=config.from_scratch,
            shape=config.shape,
            dropout=config.dropout,
        )
        assert facts.split is not None
        numbers = number_items(
            facts.split, config.numbering, config.numbering_seed, config.clusters,
            config.cluster_size,
        )  # fmt: skip
        return cls(t5, tokenizer, config, torch.from_numpy(numbers))

    @classmethod
    def skeleton(cls, config: GenerativeConfig, described: dict[str, Any]) -> "GenerativeRec":
        """Build it with weights and tokenizer to be filled in, from what `describe` gave."""
        values = dict(described["backbone"])
        t5 = transformers.T5ForConditionalGeneration(
            AutoConfig.for_model(values.pop("model_type"), **values)
        )
        numbers = described.get("numbers", described["shape"][:1])
        return cls(t5, None, config, torch.zeros(numbers, dtype=torch.int64))

    def describe(self) -> dict[str, Any]:
        """Return what `skeleton` needs to build this model again."""
        return {
            "backbone": self.t5.config.to_dict(),
            "shape": [self.n_items, 0],
            "numbers": list(self.numbers.shape),
        }

    def leaks(self) -> list[str]:
        """Say so where neighbours in a history have neighbouring numbers."""
        return [ORIGINAL_LEAKS] if self.config.numbering == "original" else []

    def save_tokenizer(self, folder: Path) -> None:
        """Write the tokenizer's files."""
        assert self.words is not None
        self.words.tokenizer.save_pretrained(folder)

    def load_tokenizer(self, folder: Path) -> None:
        """Read what `save_tokenizer` wrote."""
        self.words = WordTokens(load_tokenizer(folder))

    def training_loss(self, batch: Batch) -> torch.Tensor:
        """Cross-entropy of the target's tokens, the mean over tokens; padding is left out.

        POD's code lets the padding's tokens into the mean, which only dilutes it.
        """
        batch = batch.to("cpu")
        share = 1.0 if batch.candidates else self.config.choose_share
        choose = torch.rand(len(batch.items)) < share
        catalogue = self.catalogue()
        targets = batch.targets
        labels = catalogue.targets[targets].masked_fill(~catalogue.mask[targets], IGNORED)
        total = torch.zeros((), device=self.prompts.device)
        for task, rows in ((NEXT, (~choose).nonzero()[:, 0]), (CHOOSE, choose.nonzero()[:, 0])):
            if len(rows):
                writer = self._writer()
                ask = writer.next_item if task == NEXT else writer.choose
                total = total + self._loss(ask(batch, rows), labels[rows], task)
        return total / (labels != IGNORED).sum()

    def ranked_lists(
        self, users: torch.Tensor | None, items: torch.Tensor, mask: torch.Tensor, k: int
    ) -> RankedLists:
        """Write the best items of each history by beam search.

        Scores are the outputs' log-probabilities, divided as `length_penalty` says.

        Raises
        ------
        ConfigError
            When the style names the user alone and there is none.
        """
        texts, scores = self.write(self.prompts_of(users, items, mask), k)
        return self.catalogue().read(texts, scores)

    def chosen_lists(
        self,
        users: torch.Tensor | None,
        items: torch.Tensor,
        mask: torch.Tensor,
        candidates: int,
        k: int,
    ) -> RankedLists:
        """Write the best of given candidates by beam search.

        Unless `constrained`, what is written need not be a candidate. Source: P5, POD.

        Parameters
        ----------
        items, mask : torch.Tensor
            (batch, length) a history, which may be empty, and behind it the candidates.
        candidates : int
            How many these are.

        Raises
        ------
        ConfigError
            When the style has no such prompts.
        """
        batch = Batch(items, mask, items, users, candidates).to("cpu")
        prompts = self._writer().choose(batch, torch.arange(len(items)))
        catalogue = self.catalogue()
        shown = [row[seen][-candidates:] for row, seen in zip(batch.items, batch.mask, strict=True)]
        tries = [catalogue.trie_of(row) for row in shown] if self.config.constrained else []
        return catalogue.read(*self.write(prompts, k, CHOOSE, tries))

    @torch.no_grad()
    def write(
        self, prompts: Prompts, k: int, task: int = NEXT, tries: Sequence[IdTrie] = ()
    ) -> tuple[list[str], torch.Tensor]:
        """Answer prompts by beam search.

        Parameters
        ----------
        tries : sequence of IdTrie
            What may be written, of each prompt apart; by default, if `constrained`, any item.

        Returns
        -------
        texts : list of str
            (batch · k), each prompt's best first.
        scores : torch.Tensor
            (batch, k).
        """
        tokens, scores = self.search(*self._encode(prompts, task), k, tries)
        return self.texts_of(tokens), scores

    @torch.no_grad()
    def search(
        self, states: torch.Tensor, mask: torch.Tensor, k: int, tries: Sequence[IdTrie] = ()
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the beam search over what `encode` gave.

        Returns
        -------
        tokens : torch.Tensor
            (batch · k, tokens), each prompt's best first.
        scores : torch.Tensor
            (batch, k).
        """
        catalogue = self.catalogue()
        if self.config.constrained and not tries:
            tries = [catalogue.trie]
        only = [OnlyItems(*(trie.to(states.device) for trie in tries))] if tries else []
        longest = catalogue.mask.shape[1]
        if not only:
            longest = max(longest, self.config.max_target_tokens)
        found = self.t5.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            attention_mask=mask.long(),
            num_beams=max(self.config.beams, k),
            num_return_sequences=k,
            max_new_tokens=longest,
            length_penalty=self.config.length_penalty,
            early_stopping=self.config.early_stopping,
            do_sample=False,
            use_cache=True,
            logits_processor=LogitsProcessorList(only),
            return_dict_in_generate=True,
            output_scores=True,
        )
        scores = found.sequences_scores.reshape(len(states), k).float().cpu()
        return found.sequences[:, 1:].cpu(), scores

    def text_of(self, tokens: torch.Tensor) -> str:
        """Read tokens, (tokens,), as text."""
        return self.texts_of(tokens[None])[0]

    def texts_of(self, tokens: torch.Tensor) -> list[str]:
        """Read rows of tokens, (rows, tokens), as texts."""
        texts: list[str] = self._words().tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return texts

    def prompts_of(
        self, users: torch.Tensor | None, items: torch.Tensor, mask: torch.Tensor
    ) -> Prompts:
        """Write the prompts that ask for the next item of histories."""
        batch = Batch(items, mask, items, users).to("cpu")
        return self._writer().next_item(batch, torch.arange(len(items)))

    def encode(self, prompts: Prompts) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the encoder over prompts for the next item.

        Returns
        -------
        states : torch.Tensor
            (batch, vectors + tokens, width).
        mask : torch.Tensor
            (batch, vectors + tokens) bool.
        """
        return self._encode(prompts, NEXT)

    def catalogue(self) -> IdCatalogue:
        """Return all items' answers, written anew when the numbers have changed."""
        numbers = self.numbers.cpu()
        if self._catalogue is None or not torch.equal(self._catalogue.numbers, numbers):
            vocabulary = self.t5.config.vocab_size  # T5's is rounded up from its tokenizer's
            self._catalogue = IdCatalogue(self._words(), self.style, numbers, vocabulary)
        return self._catalogue

    def _writer(self) -> PromptWriter:
        return PromptWriter(self._words(), self.style, self.catalogue().texts, self.training)

    def _words(self) -> WordTokens:
        assert self.words is not None, "load_tokenizer comes first"
        return self.words

    def _loss(self, prompts: Prompts, labels: torch.Tensor, task: int) -> torch.Tensor:
        """Sum the cross-entropy of the labels' tokens."""
        states, mask = self._encode(prompts, task)
        encoded = BaseModelOutput(last_hidden_state=states)
        labels = labels.to(states.device)
        before = self.t5.prepare_decoder_input_ids_from_labels(labels)
        logits = self.t5(
            encoder_outputs=encoded, attention_mask=mask.long(), decoder_input_ids=before
        ).logits
        return nn.functional.cross_entropy(
            logits.float().transpose(1, 2), labels, ignore_index=IGNORED, reduction="sum"
        )

    def _encode(self, prompts: Prompts, task: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the encoder: (batch, vectors + tokens, width) states and their mask."""
        prompts = prompts.to(self.prompts.device)
        vectors = self.t5.shared(prompts.tokens)
        if self.whole_words is not None:
            vectors = vectors + self.whole_words(prompts.words.clamp(max=WORDS - 1))
        before = self.prompts[task].expand(len(vectors), -1, -1)
        vectors = torch.cat([before.to(vectors.dtype), vectors], 1)
        mask = nn.functional.pad(prompts.mask, (self.config.prompt_vectors, 0), value=True)
        states: torch.Tensor = self.t5.encoder(
            inputs_embeds=vectors, attention_mask=mask.long()
        ).last_hidden_state
        return states, mask
