"""Where to train: which device, how many, and what it can do."""

from dataclasses import dataclass

import torch

from lite_llm4rec.errors import ConfigError, nearest

DEVICES = ("cpu", "cuda", "auto")


@dataclass(frozen=True)
class Machine:
    """Devices to train on: `device` is "cpu", "cuda" or "auto", `devices` how many of them."""

    device: str = "auto"
    devices: int = 1

    def name(self) -> str:
        """Resolve "auto" to what this machine has.

        Raises
        ------
        ConfigError
            On another word than "cpu", "cuda" and "auto", or "cuda" where there is none.
        """
        there = torch.cuda.is_available()
        if self.device not in DEVICES:
            hint = "A GPU is 'cuda'." if self.device == "gpu" else nearest(self.device, DEVICES)
            raise ConfigError(f"No device '{self.device}'.", hint)
        if self.device == "cuda" and not there:
            raise ConfigError("torch finds no GPU here.", 'Take device = "cpu" or "auto".')
        return ("cuda" if there else "cpu") if self.device == "auto" else self.device

    def has_bf16(self) -> bool:
        """Tell whether the device computes in bf16 itself; elsewhere it is slow."""
        if self.name() == "cuda":
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
        return bool(torch.cpu._is_avx512_bf16_supported())
