"""Studies beyond the paper's tables: their cells, and the trained ones' settings."""

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.paper.exhibits import COMPARED, EQUAL, LENGTH, cells
from lite_llm4rec.paper.studies import DEPTHS, POOLINGS
from lite_llm4rec.paper.systems import SYSTEMS, preset_of


def test_cells_have_names_of_their_own():
    names = ["length", "redundancy", "clocks", "batch", "cost", "size", "pooling"]
    found = cells(names, "ml-1m", [0])
    assert list(dict.fromkeys(cell.exhibit for cell in found)) == names
    assert len({(cell.exhibit, cell.name) for cell in found}) == len(found)
    assert [cell.wants for cell in found if cell.exhibit == "size"] == [""] * 4 + ["a GPU"] * 4


def test_depths_and_poolings_reach_the_preset(small_ring: Dataset):
    presets = [preset_of(system, small_ring, 0, "google-t5/t5-small") for system in DEPTHS]
    assert [preset.model.shape["num_layers"] for preset in presets] == [2, 4, 6, 2, 4, 6, 12]
    assert all(preset.model.from_scratch for preset in presets)
    poolings = [preset_of(system, small_ring, 0, "t5").text.pooling for system in POOLINGS]
    assert poolings == ["mean", "cls", "weightedmean"]


def test_histories_are_of_one_length(small_ring: Dataset):
    presets = [preset_of(system, small_ring, 0, "t5") for system in EQUAL]
    assert len(presets) == len(COMPARED)
    assert {preset.model.history_length for preset in presets} == {LENGTH}


def test_each_seed_draws_the_items_numbers_anew(small_ring: Dataset):
    (small,) = [system for system in SYSTEMS if system.row == "P5 small"]
    presets = [preset_of(small, small_ring, seed, "t5") for seed in (0, 1)]
    assert [preset.model.numbering_seed for preset in presets] == [0, 1]
