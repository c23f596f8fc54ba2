"""A Hugging Face model without its vocabulary → an encoder of sequences of vectors."""

from pathlib import Path
from typing import Any

import torch
import transformers  # its models take seconds to import, so they are named where they are used
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import CONFIG_MAPPING, AutoConfig

from lite_llm4rec.errors import ConfigError
from lite_llm4rec.text.resolve import load_pretrained

# How model families name their depth and their dropout rates in their configs.
DEPTH = ("num_layers", "num_hidden_layers", "n_layer", "n_layers")
DROPOUT = (
    "dropout_rate",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "resid_pdrop",
    "embd_pdrop",
    "attn_pdrop",
    "attention_dropout",
    "hidden_dropout",
    "embedding_dropout",
    "mlp_dropout",
    "dropout",
)
LOOK_BACK = ("opt", "bloom")  # by themselves, and they take no mask of four dimensions


class Backbone(nn.Module):
    """The Recommendation LLM: vectors in, one context-aware vector per position out.

    T5's encoder, a BERT-family encoder or a decoder-only model. Its input vocabulary is dropped;
    everything else, relative or learned positions included, stays. Source: paper Eq. 4.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    causal : bool
        Whether a position sees only itself and the past; else it sees all, except in a
        decoder-only model, which always looks back only.
    """

    def __init__(self, model: Any, *, causal: bool = False) -> None:
        super().__init__()
        kind = model.config.model_type
        if causal and kind == "deberta-v2":
            raise ConfigError(f"{kind} takes no causal mask.", "Take another backbone.")
        if model.config.is_encoder_decoder:
            raise ConfigError(
                f"{kind} models have an encoder and a decoder; the backbone is one of the two.",
                'Take T5, whose encoder is used, or an encoder such as "bert".',
            )
        _check_width(model)
        self.causal = causal and kind not in LOOK_BACK
        model.set_input_embeddings(nn.Identity())
        if hasattr(model, "pooler"):
            model.pooler = None
        self.model = model.float()  # whatever it was saved in, as the item vectors are
        self.width: int = model.config.hidden_size

    @classmethod
    def load(
        cls,
        name: str,
        *,
        from_scratch: bool,
        shape: dict[str, Any],
        dropout: float,
        causal: bool = False,
        length: int = 0,
    ) -> "Backbone":
        """Load a backbone.

        Parameters
        ----------
        name : str
            A local folder, a Hub name, or the packaged MiniLM; from scratch also a bare model
            type, such as "t5", "bert" or "gpt2".
        from_scratch : bool
            Keep the architecture only; the weights are drawn anew.
        shape : dict
            Settings of the model's own config to change; with pretrained weights only its depth
            may shrink.
        dropout : float
            The rate at every place where the model has a dropout of its own.
        causal : bool
            See the class.
        length : int
            Of the longest history that it is to encode.

        Raises
        ------
        ConfigError
            On a setting that the model's config lacks, or one that its weights do not fit, and
            when it has fewer positions than `length`.
        DownloadError
            When the model cannot be had.
        """
        config = read_config(name, from_scratch=from_scratch, shape=shape)
        weights = None if from_scratch else name
        backbone = cls.build(config, dropout=dropout, weights=weights, causal=causal)
        _check_positions(backbone.model, length)
        return backbone

    @classmethod
    def build(
        cls,
        config: Any,
        *,
        dropout: float,
        weights: str | Path | None = None,
        causal: bool = False,
    ) -> "Backbone":
        """Build from a transformers config, from scratch unless `weights` names a model."""
        set_dropout(config, dropout)
        is_t5 = config.model_type == "t5"
        if weights is not None:
            kind = transformers.T5EncoderModel if is_t5 else transformers.AutoModel
            return cls(load_pretrained(kind, str(weights), config=config), causal=causal)
        if is_t5:
            return cls(transformers.T5EncoderModel(config), causal=causal)
        return cls(transformers.AutoModel.from_config(config), causal=causal)

    def forward(self, vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Encode.

        Parameters
        ----------
        vectors : torch.Tensor
            (batch, length, width).
        mask : torch.Tensor
            (batch, length) bool.

        Returns
        -------
        torch.Tensor
            (batch, length, width); what stands at padding means nothing.
        """
        visible = _look_back(mask, vectors.dtype) if self.causal else mask.long()
        output = self.model(inputs_embeds=vectors, attention_mask=visible)
        states: torch.Tensor = output.last_hidden_state
        return states


def mean_pool(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Average over the positions where `mask` (batch, length) is True: (batch, dim)."""
    weight = mask.unsqueeze(-1).to(states.dtype)
    return (states * weight).sum(1) / weight.sum(1)


def _check_width(model: Any) -> None:
    """See that vectors go in as wide as they come out."""
    inner, outer = model.get_input_embeddings().embedding_dim, model.config.hidden_size
    if inner != outer:
        raise ConfigError(
            f"{model.config.model_type}: its input is {inner} wide, its output {outer}.",
            "Take a backbone of one width, or from scratch set model.shape.embedding_size.",
        )


def _check_positions(model: Any, length: int) -> None:
    """See that a history fits, where a model has learned so many positions and no more."""
    positions = getattr(model.config, "max_position_embeddings", None) or -1
    if positions < 0:  # relative ones, as T5's; XLNet says −1
        return
    table = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    unused = 0 if padding is None else padding + 1  # RoBERTa counts from behind its padding
    if length > positions - unused:
        raise ConfigError(
            f"model.history_length is {length}, and {model.config.model_type} has"
            f" {positions - unused} positions.",
            f"Set model.history_length={positions - unused} or less; or from scratch"
            f" model.shape.max_position_embeddings={length + unused}.",
        )


def _look_back(mask: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
    """Make what is added to attention scores, (batch, 1, length, length): 0, or −∞ for hidden.

    Additive, as a boolean mask of four dimensions is right under transformers' sdpa attention and
    silently wrong under its eager one.
    """
    length = mask.shape[1]
    past = torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()
    hidden = ~(past & mask[:, None, None, :])
    return torch.zeros(hidden.shape, dtype=kind, device=mask.device).masked_fill(
        hidden, torch.finfo(kind).min
    )


def read_config(name: str, *, from_scratch: bool, shape: dict[str, Any]) -> Any:
    """Read a model's own config and change it; see `Backbone.load`."""
    config = _config(name, from_scratch)
    _change(config, shape, name)
    if not from_scratch:
        _check_pretrained(shape, name)
    return config


def set_dropout(config: Any, dropout: float) -> None:
    """Set the rate at every place where a model has a dropout of its own."""
    for key in DROPOUT:
        if hasattr(config, key):
            setattr(config, key, dropout)


def _config(name: str, from_scratch: bool) -> Any:
    if name not in CONFIG_MAPPING:
        return load_pretrained(AutoConfig, name)
    if not from_scratch:
        raise ConfigError(
            f"model.backbone '{name}' is a model type, not a model with weights.",
            "Set model.from_scratch = true, or name a model.",
        )
    return AutoConfig.for_model(name)


def _change(config: Any, shape: dict[str, Any], name: str) -> None:
    for key, value in shape.items():
        if not hasattr(config, key):
            raise ConfigError(
                f"model.shape.{key}: the config of {name} ({config.model_type}) has no such"
                " setting.",
                f"Use its own names, e.g. {', '.join(k for k in DEPTH if hasattr(config, k))}.",
            )
        try:
            setattr(config, key, value)
        except StrictDataclassError as error:
            raise ConfigError(f"model.shape.{key} is {value!r}: {error}", "Set another.") from error


def _check_pretrained(shape: dict[str, Any], name: str) -> None:
    for key in shape:
        if key not in DEPTH:
            raise ConfigError(
                f"model.shape.{key} would not fit the pretrained weights of {name}.",
                "Set model.from_scratch = true, or change the depth only.",
            )
