"""The Item LLM: texts → vectors, each text once. Source: paper Eq. 1–3."""

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
import transformers  # its models take seconds to import, so they are named where they are used
from torch import nn
from tqdm import tqdm
from transformers import AutoConfig, AutoTokenizer

from lite_llm4rec.errors import ConfigError, nearest
from lite_llm4rec.text.cache import VectorCache
from lite_llm4rec.text.resolve import load_pretrained, read_layout

SENTENCE = "sentence_transformers.models"
ENCODERS = {"t5": "T5EncoderModel", "mt5": "MT5EncoderModel", "umt5": "UMT5EncoderModel"}
Pooling = Literal["mean", "pooler", "cls", "weightedmean"]
Precision = Literal["fp32", "bf16"]


class ItemLLM(nn.Module):
    """A Hugging Face encoder and how its token outputs become one vector.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    pooling : "mean", "pooler", "cls" or "weightedmean"
        Mean over all tokens that are not padding (special tokens such as `</s>` included: the
        paper does not say, this is our choice), BERT's pooler output, the first token, or the mean
        weighted by position.
    normalize : bool
        Scale vectors to length 1.

    Raises
    ------
    ConfigError
        On an unknown pooling, or "pooler" for a model that has none.
    """

    def __init__(self, model: Any, pooling: Pooling = "mean", normalize: bool = False) -> None:
        super().__init__()
        if pooling not in get_args(Pooling):
            raise ConfigError(f"No pooling '{pooling}'", nearest(pooling, get_args(Pooling)))
        if pooling == "pooler" and getattr(model, "pooler", None) is None:
            raise ConfigError(
                f"A {model.config.model_type} model has no pooler.", 'Use text.pooling = "mean".'
            )
        if pooling != "pooler" and getattr(model, "pooler", None) is not None:
            model.pooler = None  # DDP waits for the gradients of all that is there
        self.model = model
        self.pooling = pooling
        self.normalize = normalize
        self.width: int = model.config.hidden_size
        self.tokenizer: Any = None  # only where this Item LLM is to be saved

    @classmethod
    def load(cls, name: str | Path, pooling: Pooling | None = None) -> "ItemLLM":
        """Load an encoder in fp32, whatever it was saved in, and in evaluation mode.

        Parameters
        ----------
        name : str or Path
            A Hub name, a local folder or the packaged MiniLM.
        pooling : str, optional
            None takes the model's own where it is a sentence-transformers folder, else the mean.

        Raises
        ------
        ConfigError
            When the folder or the model cannot be used, or some of its weights are missing.
        DownloadError
            When the Hub cannot be reached or has no such model.
        """
        layout = read_layout(name)
        where = {"subfolder": layout.subfolder} if layout.subfolder else {}
        config = load_pretrained(AutoConfig, name, **where)
        kind = ENCODERS.get(config.model_type)
        model, report = load_pretrained(
            getattr(transformers, kind or "AutoModel"),
            name,
            dtype=torch.float32,
            output_loading_info=True,
            **where,
        )
        chosen: Any = pooling or layout.pooling or "mean"
        unused = () if chosen == "pooler" else ("pooler.",)
        if model.config.is_encoder_decoder and kind is None:
            model, unused = model.get_encoder(), (*unused, "decoder.")
        _check_complete(name, report["missing_keys"], unused)
        return cls(model, chosen, layout.normalize).eval()

    def save(self, folder: Path) -> None:
        """Write a folder that `load` and `load_tokenizer` read, in sentence-transformers' layout.

        That layout has no name for BERT's pooler: there `load` must be told the pooling again.
        """
        state = None
        if self.model.config.is_encoder_decoder:  # `load` takes the encoder out of a whole model
            state = {f"encoder.{key}": value for key, value in self.model.state_dict().items()}
        self.model.save_pretrained(folder, state_dict=state)
        if self.tokenizer.is_fast:
            self.tokenizer.backend_tokenizer.no_truncation()  # how the last texts were cut
        self.tokenizer.save_pretrained(folder)
        pooled = self.pooling != "pooler"
        modules = ["Transformer", *["Pooling"] * pooled, *["Normalize"] * self.normalize]
        paths = ["", *(f"{place}_{kind}" for place, kind in enumerate(modules) if place)]
        listed = [
            {"idx": place, "name": str(place), "path": path, "type": f"{SENTENCE}.{kind}"}
            for place, (kind, path) in enumerate(zip(modules, paths, strict=True))
        ]
        _write_json(folder / "modules.json", listed)
        if pooled:
            pooling = {"word_embedding_dimension": self.width, "pooling_mode": self.pooling}
            _write_json(folder / paths[1] / "config.json", pooling)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Encode: (n, tokens) int64 twice → (n, width)."""
        output = self.model(input_ids=input_ids, attention_mask=attention_mask)
        if self.pooling == "pooler":
            vectors = output.pooler_output
        elif self.pooling == "cls":
            vectors = output.last_hidden_state[:, 0]
        else:
            weights = attention_mask
            if self.pooling == "weightedmean":
                weights = position_weights(attention_mask)
            vectors = mean_over_tokens(output.last_hidden_state, weights)
        return nn.functional.normalize(vectors, dim=-1) if self.normalize else vectors


def mean_over_tokens(states: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Average tokens by their weights, in fp32: (n, tokens, width), (n, tokens) → (n, width).

    Source: Eq. 3, where the weights are 1, and 0 at padding; a text without any token gives zeros.
    """
    weight = weights.unsqueeze(-1).float()
    return (states.float() * weight).sum(1) / weight.sum(1).clamp(min=1)


def position_weights(attention_mask: torch.Tensor) -> torch.Tensor:
    """Weigh each token by its place in its text, from 1; padding by 0: (n, tokens).

    Source: Muennighoff, *SGPT*, arXiv 2202.08904; the name is sentence-transformers'.
    """
    return attention_mask.cumsum(1) * attention_mask


def tokenize(
    tokenizer: Any, texts: Sequence[str], max_tokens: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn texts into padded (n, tokens) ids and mask; longer texts are cut at `max_tokens`.

    Padding is done here and on the right: some tokenizers have no padding token, and "cls" pooling
    wants the first token in the first place.
    """
    ids = tokenizer(list(texts), truncation=True, max_length=max_tokens)["input_ids"]
    shape = len(ids), max([1, *map(len, ids)])
    input_ids = torch.full(shape, tokenizer.pad_token_id or 0)
    mask = torch.zeros(shape, dtype=torch.int64)
    for row, tokens in enumerate(ids):
        input_ids[row, : len(tokens)] = torch.tensor(tokens, dtype=torch.int64)
        mask[row, : len(tokens)] = 1
    return input_ids, mask


def load_tokenizer(name: str | Path) -> Any:
    """Load the tokenizer that goes with `ItemLLM.load(name)`.

    Raises
    ------
    ConfigError, DownloadError
    """
    layout = read_layout(name)
    where = {"subfolder": layout.subfolder} if layout.subfolder else {}
    tokenizer = load_pretrained(AutoTokenizer, name, **where)
    for note in ("is_local", "local_files_only"):  # on where it came from; would be saved with it
        tokenizer.init_kwargs.pop(note, None)
    return tokenizer


def fingerprint(llm: ItemLLM, tokenizer: Any, max_tokens: int, precision: Precision) -> str:
    """Name an Item LLM by its weights, its tokenizer and all settings that change its vectors."""
    settings = json.loads(llm.model.config.to_json_string())
    settings.pop("transformers_version", None)  # a new one leaves the vectors as they are
    settings |= {"pooling": llm.pooling, "normalize": llm.normalize}
    settings |= {"max_tokens": max_tokens, "precision": precision}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update(json.dumps(_describe_tokenizer(tokenizer), sort_keys=True).encode())
    for key, value in sorted(llm.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:32]


def _describe_tokenizer(tokenizer: Any) -> dict[str, Any]:
    """Say how a tokenizer cuts texts: its rules where it tells them, else its vocabulary."""
    if not tokenizer.is_fast:
        return dict(tokenizer.get_vocab())
    rules: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    return rules | {"truncation": None, "padding": None}  # the last call left these


@torch.no_grad()
def encode_texts(
    llm: ItemLLM,
    tokenizer: Any,
    texts: Sequence[str],
    *,
    max_tokens: int = 64,
    batch_tokens: int = 8192,
    cache: VectorCache | None = None,
    device: str = "cpu",
    precision: Precision = "fp32",
    progress: bool = True,
) -> npt.NDArray[np.float32]:
    """Encode texts, each distinct one once, longest first.

    Parameters
    ----------
    batch_tokens : int
        Bound on a batch's texts × its longest text.
    cache : VectorCache, optional
        Vectors found there are not computed again; new ones are added as they come, so that a
        killed run goes on where it stopped.

    Returns
    -------
    numpy.ndarray
        (n, width) float32, in the order of `texts`.

    Raises
    ------
    ConfigError
        On a precision other than fp32 and bf16, or more tokens than the model has positions for.
    StoreError
        When the cache cannot be written.
    """
    _check_settings(llm, tokenizer, max_tokens, precision)
    distinct, inverse = np.unique(np.asarray(texts, dtype=object), return_inverse=True)
    vectors = np.empty((len(distinct), llm.width), np.float32)
    keys = text_keys(distinct)
    known = cache.read_into(keys, vectors) if cache else np.zeros(len(distinct), bool)
    missing = np.flatnonzero(~known)
    llm.eval().to(device)
    bar = tqdm(
        total=len(missing), desc="encoding items", unit=" items", disable=None if progress else True
    )
    with bar, cache or contextlib.nullcontext():
        for rows, ids, mask in _batches(tokenizer, distinct, missing, max_tokens, batch_tokens):
            with _autocast(device, precision):
                encoded = llm(ids.to(device), mask.to(device))
            vectors[rows] = encoded.float().cpu().numpy()
            if cache:
                cache.add(keys[rows], vectors[rows])
            bar.update(len(rows))
    return vectors[inverse]


def text_keys(texts: Sequence[str] | npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Hash texts: (n, 32) uint8."""
    joined = b"".join(hashlib.sha256(str(text).encode()).digest() for text in texts)
    return np.frombuffer(joined, np.uint8).reshape(-1, 32)


def _batches(
    tokenizer: Any,
    texts: npt.NDArray[Any],
    rows: npt.NDArray[Any],
    max_tokens: int,
    batch_tokens: int,
) -> Iterator[tuple[npt.NDArray[Any], torch.Tensor, torch.Tensor]]:
    """Cut the rows, longest first, into batches of at most `batch_tokens` with padding."""
    lengths = np.array([len(text.encode()) for text in texts[rows]])
    rows = rows[np.argsort(-lengths, kind="stable")]
    first = 0
    while first < len(rows):
        # A token is at least one byte (not one character: an emoji can be four byte tokens), so
        # bytes bound the tokens without tokenizing everything beforehand.
        longest = min(max_tokens, len(texts[rows[first]].encode()) + 2)
        part = rows[first : first + max(1, batch_tokens // longest)]
        yield part, *tokenize(tokenizer, texts[part].tolist(), max_tokens)
        first += len(part)


def _check_settings(llm: ItemLLM, tokenizer: Any, max_tokens: int, precision: str) -> None:
    if precision not in get_args(Precision):
        raise ConfigError(
            f"The Item LLM does not run in '{precision}'",
            "use fp32 or bf16; T5 overflows in fp16",
        )
    positions = getattr(llm.model.config, "max_position_embeddings", None)
    limit = max_tokens if positions is None else min(positions, tokenizer.model_max_length)
    if not 1 <= max_tokens <= limit:
        raise ConfigError(
            f"max_tokens = {max_tokens} cannot work with this Item LLM", f"use 1 to {limit}"
        )


def _check_complete(name: str | Path, missing: Iterable[str], unused: tuple[str, ...]) -> None:
    """Refuse weights that transformers would fill in at random with no more than a log line."""
    needed = sorted(key for key in missing if not key.startswith(unused))
    if needed:
        raise ConfigError(
            f"The model {name} lacks weights that the Item LLM needs: {', '.join(needed[:5])}",
            'choose a model that was saved with them, or text.pooling = "mean" where only the '
            "pooler is missing",
        )


def _autocast(device: str, precision: Precision) -> Any:
    if precision == "bf16":
        return torch.autocast(torch.device(device).type, torch.bfloat16)
    return contextlib.nullcontext()


def _write_json(path: Path, values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
