"""Which tokens may come next, so that what is generated is always the text of some item."""

from collections.abc import Sequence

import torch
from transformers import LogitsProcessor


class IdTrie:
    """A prefix tree of token sequences, as arrays.

    Node 0 is the root. The children of node `n` are the edges `offsets[n]:offsets[n + 1]`, in the
    order of their tokens. The last node is a dead end, where every unknown sequence leads.

    Parameters
    ----------
    sequences : sequence of list of int
        Distinct; none may be the beginning of another one, so each ends in the end token.
    vocabulary : int
        Number of tokens.
    """

    def __init__(self, sequences: Sequence[Sequence[int]], vocabulary: int) -> None:
        self.vocabulary = vocabulary
        children: list[dict[int, int]] = [{}]
        for sequence in sequences:
            node = 0
            for token in sequence:
                if token not in children[node]:
                    children[node][token] = len(children)
                    children.append({})
                node = children[node][token]
        children.append({})
        edges = [sorted(found.items()) for found in children]
        counts = torch.tensor([len(found) for found in edges])
        self.dead = len(children) - 1
        self.offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
        self.tokens = torch.tensor([token for found in edges for token, _ in found])
        self.children = torch.tensor([child for found in edges for _, child in found])
        parents = torch.arange(len(children)).repeat_interleave(counts)
        self.keys = parents * vocabulary + self.tokens

    def to(self, device: torch.device | str) -> "IdTrie":
        """Move to a device, in place."""
        for name in ("offsets", "tokens", "children", "keys"):
            setattr(self, name, getattr(self, name).to(device))
        return self

    def walk(self, prefixes: torch.Tensor) -> torch.Tensor:
        """Find the node of each prefix, (rows, tokens) → (rows,)."""
        nodes = torch.zeros(len(prefixes), dtype=torch.int64, device=prefixes.device)
        for tokens in prefixes.T:
            keys = nodes * self.vocabulary + tokens
            places = torch.searchsorted(self.keys, keys).clamp(max=len(self.keys) - 1)
            nodes = torch.where(self.keys[places] == keys, self.children[places], self.dead)
        return nodes

    def allowed(self, nodes: torch.Tensor) -> torch.Tensor:
        """Tell which tokens may follow each node, (rows,) → (rows, vocabulary) bool."""
        begins, counts = self.offsets[nodes], self.offsets[nodes + 1] - self.offsets[nodes]
        rows = torch.arange(len(nodes), device=nodes.device).repeat_interleave(counts)
        within = torch.arange(len(rows), device=nodes.device)
        within = within - (counts.cumsum(0) - counts)[rows]
        mask = torch.zeros(len(nodes), self.vocabulary, dtype=torch.bool, device=nodes.device)
        mask[rows, self.tokens[begins[rows] + within]] = True
        return mask


class OnlyItems(LogitsProcessor):  # type: ignore[misc]
    """Hide every token that leads away from a tree; the first one generated is a start token.

    Parameters
    ----------
    *tries : IdTrie
        One for all rows, or one for each of as many equal stretches of them.
    """

    def __init__(self, *tries: IdTrie) -> None:
        self.tries = tries

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Set the others' scores to −inf, (rows, vocabulary)."""
        stretches = input_ids[:, 1:].chunk(len(self.tries))
        allowed = [
            trie.allowed(trie.walk(rows)) for trie, rows in zip(self.tries, stretches, strict=True)
        ]
        return scores.masked_fill(~torch.cat(allowed), -torch.inf)
