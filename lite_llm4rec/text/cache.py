"""Item vectors on disk, found again by the content of their texts."""

import hashlib
import os
import time
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from lite_llm4rec.errors import StoreError

Keys = npt.NDArray[np.uint8]
Vectors = npt.NDArray[np.float32]

# A chunk is what a crash can lose: few enough texts for a slow machine, many enough that a
# million items make some 250 files.
_CHUNK_ROWS = 4096
_CHUNK_SECONDS = 60.0


class VectorCache:
    """A folder of chunks, each one safetensors file with keys (n, 32) and vectors (n, width).

    Memory holds one chunk at a time, whatever the number of cached vectors. As a context it
    writes what is pending when left, by an error as well.

    Parameters
    ----------
    folder : Path
        Where the caches of all models lie; made when first written to.
    fingerprint : str
        Of the model and its settings (`encoder.fingerprint`); names the sub-folder.
    width : int
        Dimension of the vectors.
    """

    def __init__(self, folder: str | Path, fingerprint: str, width: int) -> None:
        self.folder = Path(folder) / fingerprint
        self.width = width
        self._pending: list[tuple[Keys, Vectors]] = []
        self._written = time.monotonic()

    def __enter__(self) -> "VectorCache":
        return self

    def __exit__(self, *error: object) -> None:
        self.flush()

    def read_into(self, keys: Keys, vectors: Vectors) -> npt.NDArray[np.bool_]:
        """Fill the rows of `vectors` whose keys are cached; the others stay as they are.

        Parameters
        ----------
        keys : array (n, 32) uint8
            Distinct keys.
        vectors : array (n, width) float32
            Written to in place.

        Returns
        -------
        array (n,) bool
            Which rows were found.
        """
        found = np.zeros(len(keys), dtype=bool)
        wanted = as_void(keys)
        order = np.argsort(wanted, kind="stable")
        wanted = wanted[order]
        for path in sorted(self.folder.glob("*.safetensors")) if len(keys) else []:
            places, rows = self._hits(path, wanted)
            vectors[order[places]] = rows
            found[order[places]] = True
        return found

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Take in vectors; a chunk is written once it is large or old enough.

        Raises
        ------
        StoreError
            When the chunk cannot be written.
        """
        self._pending.append((keys, vectors))
        rows = sum(len(chunk) for chunk, _ in self._pending)
        if rows >= _CHUNK_ROWS or time.monotonic() - self._written > _CHUNK_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what was added since the last chunk.

        Raises
        ------
        StoreError
            When the chunk cannot be written; what was written before stays.
        """
        if self._pending:
            keys = np.concatenate([keys for keys, _ in self._pending])
            vectors = np.concatenate([vectors for _, vectors in self._pending])
            self._pending = []
            self._write(keys, vectors)
        self._written = time.monotonic()

    def _write(self, keys: Keys, vectors: Vectors) -> None:
        path = self.folder / f"{hashlib.sha256(keys.tobytes()).hexdigest()[:32]}.safetensors"
        half = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with half.open("wb") as file:
                file.write(save({"keys": keys, "vectors": vectors}))
                file.flush()
                os.fsync(file.fileno())
            os.replace(half, path)
        except OSError as error:
            raise StoreError(
                f"The vector cache {self.folder} cannot be written: {error}",
                "free some disk space or choose another folder; the chunks already there are kept",
            ) from error

    def _hits(
        self, path: Path, wanted: npt.NDArray[np.void]
    ) -> tuple[npt.NDArray[np.intp], Vectors]:
        """Give the places in `wanted` (sorted) that this chunk holds, and their vectors."""
        nothing = np.zeros(0, dtype=np.intp), np.zeros((0, self.width), dtype=np.float32)
        try:
            with safe_open(path, framework="numpy") as chunk:
                keys = as_void(chunk.get_tensor("keys"))
                places = np.searchsorted(wanted, keys)
                places[places == len(wanted)] = 0
                hits = wanted[places] == keys
                if not hits.any():
                    return nothing
                vectors = chunk.get_tensor("vectors")
            if vectors.shape != (len(keys), self.width) or vectors.dtype != np.float32:
                raise ValueError(f"vectors of shape {vectors.shape} and type {vectors.dtype}")
        except (OSError, ValueError, SafetensorError) as error:
            warnings.warn(
                f"The cache file {path} is damaged ({error}); its texts are encoded again and "
                "the file can be deleted.",
                stacklevel=3,
            )
            return nothing
        return places[hits], vectors[hits]


def as_void(keys: Keys) -> npt.NDArray[np.void]:
    """View keys (n, 32) uint8 as n values that numpy sorts and compares byte by byte."""
    if keys.ndim != 2 or keys.shape[1] != 32 or keys.dtype != np.uint8:
        raise ValueError(f"keys of shape {keys.shape} and type {keys.dtype}")
    return np.ascontiguousarray(keys).view("V32").reshape(-1)
