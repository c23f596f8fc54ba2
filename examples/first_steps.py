"""The README's ten lines: two tables in, recommendations out."""

from lite_llm4rec import Dataset, Recommender

data = Dataset.from_tables("examples/interactions.csv", "examples/items.csv", name="example")
recommender = Recommender.fit(data, progress=False)
found = recommender.evaluate(data)
print(f"{found.protocol.line()}\nrecall@10 {found.metrics['recall@10']:.2f}\n")
recommender.save("runs/example")

again = Recommender.load("runs/example")
history = [
    again.find("The Midnight Graveyard, Part 1"),
    again.find("The Midnight Graveyard, Part 2"),
]
print(again.recommend([history], k=3))
print(again.similar_items(history[:1], k=3))
