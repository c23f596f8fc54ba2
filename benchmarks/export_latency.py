"""A user vector from an export against eager torch, at batch 1 and 32, all in one run.

The model has the shape of the paper's on ML-1M: T5-small's encoder, 3,706 items, histories of 20.
Its weights are drawn: time does not depend on them.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch

from lite_llm4rec.errors import MissingExtraError
from lite_llm4rec.export import exported_config, item_tensors, write_graph
from lite_llm4rec.models import CatalogueFacts, ExportedModel, LiteConfig, LiteLLM4Rec
from lite_llm4rec.models.exported import GRAPH
from lite_llm4rec.parity import latencies
from lite_llm4rec.records import write_benchmark

RESULT = Path(__file__).parents[1] / "results" / "benchmarks" / "export_latency.json"
N_ITEMS, LENGTH, WIDTH = 3706, 20, 512
TURNS = {1: 20, 32: 8}
KINDS: list[tuple[Any, Any]] = [
    ("int8", "onnx"),
    ("fp32", "onnx"),
    ("fp32", "openvino"),
    ("bf16", "openvino"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    config = LiteConfig(backbone="t5", from_scratch=True, history_length=LENGTH)  # T5-small's
    counts = torch.ones(N_ITEMS, dtype=torch.int64)
    model = LiteLLM4Rec.create(config, CatalogueFacts(torch.randn(N_ITEMS, WIDTH), counts)).eval()
    measured = {}
    for precision, runtime in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            write_graph(model, Path(folder) / GRAPH, precision, runtime)
            settings = exported_config(model, precision, runtime)
            try:
                exported = ExportedModel(settings, item_tensors(model, counts), Path(folder))
            except MissingExtraError as error:
                print(error)
                continue
            measured[f"{precision}, {runtime}"] = latencies(model, exported, TURNS)
    best = measured["int8, onnx"]
    print(
        write_benchmark(
            options.out,
            "user vectors of 32 histories of 20 items, T5-small's shape: milliseconds of eager"
            f" torch in fp32 ÷ the int8 export's (at batch 1: {best['batch 1']['ratio']:.1f})",
            best["batch 32"]["ratio"],
            {"items": N_ITEMS, "history_length": LENGTH, "milliseconds": measured},
        )
    )


if __name__ == "__main__":
    main()
