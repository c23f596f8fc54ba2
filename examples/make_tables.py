"""Write the example's two tables: a made-up catalogue of series, and who chose what."""

from pathlib import Path

import pyarrow.csv

from lite_llm4rec.data.synthetic import make

here = Path(__file__).parent
world = make(users=500, series=25, singles=20, seed=1)
pyarrow.csv.write_csv(world.interactions, here / "interactions.csv")
pyarrow.csv.write_csv(world.items, here / "items.csv")
