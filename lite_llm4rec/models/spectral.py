"""Paths to items through clusters of items that share users, by spectral clustering.

Source: LightLM (Mei & Zhang, 2023), whose collaborative indexing is that of Hua et al., *How to
Index Item IDs for Recommendation Foundation Models*, 2023. There a part of a path is a new token of
the vocabulary; here it is a number in the text.
"""

import numpy as np
import numpy.typing as npt
import torch

from lite_llm4rec.data.interactions import Ints
from lite_llm4rec.data.split import Split

ROUNDS = 10  # of the iteration that finds eigenvectors
SPARE = 10  # eigenvectors found besides, which the others are the more exact for
Floats = npt.NDArray[np.float64]


def cluster_paths(split: Split, clusters: int, size: int, seed: int) -> Ints:
    """Cut the items into clusters, and large clusters again, (N, parts) int64.

    Only the training part says which items share users. The last part is a place within the
    cluster, drawn; −1 stands behind a shorter path's end.

    Parameters
    ----------
    clusters : int
        How many a cluster is cut into, and one more for items of which training tells nothing.
    size : int
        A cluster of at most so many items is not cut further.
    """
    log = split.interactions
    trained = np.arange(len(log)) < split.train_ends[log.users]
    users, items, n_items = log.users[trained], log.items[trained], log.n_items
    rng = np.random.default_rng(seed)
    paths: list[list[int]] = [[] for _ in range(n_items)]
    uncut = [np.arange(n_items)]
    while uncut:
        members = uncut.pop()
        labels: Ints = rng.permutation(len(members))
        if len(members) > size:
            place = np.full(n_items, -1)
            place[members] = np.arange(len(members))
            inside = place[items] >= 0
            labels = _clusters(users[inside], place[items[inside]], len(members), clusters, seed)
            uncut += [members[labels == label] for label in np.unique(labels)]
        for item, label in zip(members, labels.tolist(), strict=True):
            paths[item].append(label)
    longest = max(map(len, paths))
    return np.array([[*path, *[-1] * (longest - len(path))] for path in paths])


def _clusters(users: Ints, items: Ints, n_items: int, clusters: int, seed: int) -> Ints:
    """Cluster items by their users, (n_items,) labels from 0; always more than one of them."""
    labels = np.full(n_items, clusters)
    taken, items = np.unique(items, return_inverse=True)
    if len(taken):
        vectors = _spectral_vectors(users, items, clusters, seed)
        labels[taken] = _nearest_pivot(vectors)
    _, labels = np.unique(labels, return_inverse=True)
    if labels.max() == 0:  # nothing tells them apart
        labels = np.arange(n_items) * min(clusters, n_items) // n_items
    return labels


def _spectral_vectors(users: Ints, items: Ints, width: int, seed: int) -> Floats:
    """Give the first eigenvectors of the normalised matrix of shared users, (n_items, ≤ width).

    That matrix, items × items, is never made: its eigenvectors are the right singular vectors of
    users × items. An item shares its users with itself, too, which the sources leave out.
    """
    _, users = np.unique(users, return_inverse=True)
    pairs = np.unique(np.stack([users, items]), axis=1)
    taken = np.bincount(pairs[0])
    degree = np.bincount(pairs[1], taken[pairs[0]])
    shape = (len(taken), len(degree))
    matrix = torch.sparse_coo_tensor(
        torch.from_numpy(pairs),
        torch.from_numpy(1 / np.sqrt(degree[pairs[1]])),
        shape,
        check_invariants=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        found = torch.svd_lowrank(matrix, q=min(width + SPARE, *shape), niter=ROUNDS)[2]
    vectors: Floats = found[:, :width].numpy() / np.sqrt(degree)[:, None]
    return vectors


def _nearest_pivot(vectors: Floats) -> Ints:
    """Cluster by QR with column pivoting, (n,) labels; nothing is drawn and nothing iterated.

    Source: Damle, Minden & Ying, *Simple, direct and efficient multi-way spectral clustering*,
    2019, which the sources choose, as scikit-learn's `assign_labels="cluster_qr"`.
    """
    rest, pivots = vectors.copy(), []
    for _ in range(vectors.shape[1]):
        lengths = np.einsum("ij,ij->i", rest, rest)
        pivots.append(int(lengths.argmax()))
        direction = rest[pivots[-1]] / max(np.sqrt(lengths.max()), 1e-12)
        rest -= np.outer(rest @ direction, direction)
    left, _, right = np.linalg.svd(vectors[pivots].T)
    labels: Ints = np.abs(vectors @ (left @ right)).argmax(1)
    return labels
