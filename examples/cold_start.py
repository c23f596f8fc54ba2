"""New items: recommended by their text within seconds of arriving, retired when they go.

To be run in the repository's folder; needs polars.
"""

import polars as pl

from lite_llm4rec import Dataset, Recommender

log = pl.read_csv("examples/interactions.csv")
items = pl.read_csv("examples/items.csv")

# Let the last parts of two series arrive after training.
new = items.filter(
    pl.col("title").str.contains("Midnight Graveyard, Part 4|Winter Starship, Part 3")
)
old_items = items.join(new, on="item_id", how="anti")
old_log = log.join(new, on="item_id", how="anti")

data = Dataset.from_tables(old_log, old_items, name="example")
recommender = Recommender.fit(data, device="cpu", progress=False)

history = [recommender.find(f"The Midnight Graveyard, Part {part}") for part in (1, 2)]
print("Before:", *recommender.recommend([history], k=10).titles[0], sep="\n  ")

added = recommender.add_items(new)
print(f"{added} items added.")
print("After:", *recommender.recommend([history], k=10).titles[0], sep="\n  ")

recommender.retire_items([recommender.find("The Old Pantry, Part 1")])
print("Old Pantry retired:", *recommender.recommend([history], k=10).titles[0], sep="\n  ")

# The knob between lists without new items and lists full of them; training calibrated it.
print(f"cold offset {recommender.cold_offset:.2f}")
