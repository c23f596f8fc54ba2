"""Where to train: which device, how many, and what it can do."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Machine:
    """Devices to train on: `device` is "cpu", "cuda" or "auto", `devices` how many of them."""

    device: str = "auto"
    devices: int = 1

    def name(self) -> str:
        """Resolve "auto" to what this machine has."""
        if self.device != "auto":
            return self.device
        return "cuda" if torch.cuda.is_available() else "cpu"

    def has_bf16(self) -> bool:
        """Tell whether the device computes in bf16 itself; elsewhere it is slow."""
        if self.name() == "cuda":
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
        return bool(torch.cpu._is_avx512_bf16_supported())
