"""T5 and its tokenizer, pretrained or from scratch, for models that read or write ids as text."""

from typing import Any

from torch import nn
from transformers import CONFIG_MAPPING

from lite_llm4rec.errors import ConfigError
from lite_llm4rec.models.backbone import read_config, set_dropout
from lite_llm4rec.models.id_text import digit_tokenizer
from lite_llm4rec.text.encoder import load_tokenizer
from lite_llm4rec.text.resolve import load_pretrained


def load_t5(
    kind: Any, name: str, *, from_scratch: bool, shape: dict[str, Any], dropout: float
) -> tuple[Any, Any]:
    """Load a T5 with its vocabulary.

    Parameters
    ----------
    kind : class
        T5ForConditionalGeneration or T5EncoderModel.
    name, from_scratch, shape, dropout
        As in `Backbone.load`. With pretrained weights `shape` may also change `d_ff`, whose weights
        are then drawn anew, as LightLM does. The bare type "t5" has no tokenizer: it gets one of
        single digits and a vocabulary as small.

    Returns
    -------
    model, tokenizer

    Raises
    ------
    ConfigError
        When the model is no T5; else as `Backbone.load`.
    """
    redrawn = {} if from_scratch else {key: shape[key] for key in ("d_ff",) if key in shape}
    kept = {key: value for key, value in shape.items() if key not in redrawn}
    config = read_config(name, from_scratch=from_scratch, shape=kept)
    if config.model_type != "t5":
        raise ConfigError(
            f"{name} is a {config.model_type} model; this system needs an encoder-decoder T5.",
            'For example: model.backbone = "google-t5/t5-small"',
        )
    for key, value in redrawn.items():
        setattr(config, key, value)
    if "num_layers" in shape and "num_decoder_layers" not in shape:
        config.num_decoder_layers = shape["num_layers"]
    set_dropout(config, dropout)
    bare = name in CONFIG_MAPPING
    tokenizer = digit_tokenizer() if bare else load_tokenizer(name)
    if bare:
        config.vocab_size = len(tokenizer)
        config.decoder_start_token_id = config.pad_token_id
    if from_scratch:
        return kind(config), tokenizer
    loaded = load_pretrained(kind, name, config=config, ignore_mismatched_sizes=bool(redrawn))
    return loaded.float(), tokenizer


def save_shared_once(owner: nn.Module) -> None:
    """Let weights that stand under several names be in the state dict under the first alone."""
    hooked: Any = owner  # torch does not type the two calls below
    first: dict[int, str] = {}
    twins: dict[str, str] = {}
    for name, value in owner.named_parameters(remove_duplicate=False):
        if first.setdefault(id(value), name) != name:
            twins[name] = first[id(value)]

    def leave_out(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
        for twin in twins:
            state.pop(prefix + twin, None)

    def put_back(module: nn.Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        for twin, name in twins.items():
            if prefix + name in state:
                state[prefix + twin] = state[prefix + name]

    hooked.register_state_dict_post_hook(leave_out)
    hooked.register_load_state_dict_pre_hook(put_back)
