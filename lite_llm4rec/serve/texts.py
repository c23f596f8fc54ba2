"""The Item LLM, kept at hand: texts → vectors, the latest of them from memory."""

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from lite_llm4rec.preset import TextConfig
from lite_llm4rec.serve.metrics import Metrics
from lite_llm4rec.serve.runtime import Runtime, Vectors
from lite_llm4rec.text.encoder import ItemLLM, encode_texts, fingerprint, load_tokenizer

KEPT = 10_000  # texts


class TextEncoder:
    """One Item LLM with its settings.

    Parameters
    ----------
    config : TextConfig
    tuned : ItemLLM, optional
        The Item LLM of a joint stage; by default the one that `config` names, as it is.

    Attributes
    ----------
    name : str
        Names the weights and settings, so that vectors of another one are not mistaken for its.

    Raises
    ------
    ConfigError, DownloadError
        When the Item LLM cannot be loaded.
    """

    def __init__(self, config: TextConfig, tuned: ItemLLM | None, metrics: Metrics) -> None:
        self.config = config
        self.tuned = tuned is not None
        self._llm = tuned or ItemLLM.load(config.model, config.pooling)
        self._tokenizer = self._llm.tokenizer or load_tokenizer(config.model)
        self._metrics = metrics
        self._kept: OrderedDict[str, Vectors] = OrderedDict()
        self._lock = threading.Lock()
        self.name = fingerprint(self._llm, self._tokenizer, config.max_tokens, config.precision)

    def encode(self, texts: Sequence[str]) -> list[Vectors]:
        """Give each text's vector, (width,)."""
        with self._lock:
            missing = [text for text in dict.fromkeys(texts) if text not in self._kept]
            self._metrics.texts.labels("miss").inc(len(missing))
            self._metrics.texts.labels("hit").inc(len(texts) - len(missing))
            fresh = dict(zip(missing, self._encode(missing), strict=True)) if missing else {}
            vectors = [fresh[text] if text in fresh else self._kept[text] for text in texts]
            self._kept.update(zip(texts, vectors, strict=True))
            for text in texts:
                self._kept.move_to_end(text)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return vectors

    def _encode(self, texts: list[str]) -> Vectors:
        return encode_texts(
            self._llm, self._tokenizer, texts, max_tokens=self.config.max_tokens,
            precision=self.config.precision, progress=False,
        )  # fmt: skip


@dataclass(frozen=True)
class AskedText:
    """A text to encode, with the encoder of the run that was served when it came."""

    encoder: TextEncoder
    text: str


def encode_all(asked: list[AskedText]) -> list[Vectors]:
    """Give the vectors (width,) of texts that came together, in order."""
    places = defaultdict(list)
    for place, one in enumerate(asked):
        places[one.encoder].append(place)
    found: dict[int, Vectors] = {}
    for encoder, mine in places.items():
        found |= zip(mine, encoder.encode([asked[place].text for place in mine]), strict=True)
    return [found[place] for place in range(len(asked))]


def encoder_for(runtime: Runtime, old: TextEncoder | None, metrics: Metrics) -> TextEncoder | None:
    """Give the encoder of a runtime's texts, None where it reads none; `old` if it is the same.

    Raises
    ------
    ConfigError, DownloadError
        When the Item LLM cannot be loaded.
    """
    config, tuned = runtime.preset.text, runtime.item_llm
    if runtime.brought or not runtime.reads_text:
        return None
    if old is not None and tuned is None and not old.tuned and old.config == config:
        return old
    return TextEncoder(config, tuned, metrics)
