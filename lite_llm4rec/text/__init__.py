"""From item fields to item vectors: template, tokens, Item LLM, cache."""
