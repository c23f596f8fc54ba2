import pytest
import torch

from lite_llm4rec.errors import ConfigError
from lite_llm4rec.machine import Machine


def test_auto_takes_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch):
    for there, name in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert Machine().name() == name
    assert Machine("cpu").name() == "cpu"
    with pytest.raises(ConfigError, match="finds no GPU"):
        Machine("cuda").name()
    with pytest.raises(ConfigError, match="No device 'gpu'"):
        Machine("gpu").name()


def test_bf16_is_asked_of_the_device_in_use(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert not Machine("cpu").has_bf16()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert Machine("cuda").has_bf16()


def test_a_gpu_is_called_cuda():
    with pytest.raises(ConfigError, match="A GPU is 'cuda'"):
        Machine("gpu").name()
