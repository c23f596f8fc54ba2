"""New items as they come → changes that a run can take; all that can be wrong is found here."""

from collections.abc import Sequence

import numpy as np

from lite_llm4rec.errors import ConfigError, DataError, nearest
from lite_llm4rec.serve.changes import Change
from lite_llm4rec.serve.problems import Conflict, Unavailable
from lite_llm4rec.serve.schemas import NewItem
from lite_llm4rec.serve.served import Served


def new_changes(items: Sequence[NewItem], served: Served) -> list[Change]:
    """Translate new items to changes; those that are there with the same text are left out.

    Raises
    ------
    ConfigError
        When this run cannot take items.
    Unavailable
        When it could, but its Item LLM is not at hand.
    DataError
        When an item occurs twice, has no text, or a wrong vector.
    Conflict
        When an item is there with another text.
    """
    if not served.runtime.takes_items:
        raise ConfigError(
            f"A {served.runtime.preset.model.kind} model cannot score items that it never learnt.",
            "Serve one that reads text with a tied head: the default preset's does.",
        )
    if served.encoder is None and not served.runtime.brought:
        raise Unavailable(served.no_encoder, "Make the Item LLM available, then reload.")
    ids = [served.lookup.own_id(one.id) for one in items]
    if len(set(ids)) < len(ids):
        twice = next(name for place, name in enumerate(ids) if name in ids[:place])
        raise DataError(f"Item {twice!r} occurs twice.", "Name each item once.")
    fresh = [
        (name, one)
        for name, one in zip(ids, items, strict=True)
        if not _is_there(name, one, served)
    ]
    if fresh:
        _check_fields([one for _, one in fresh], served)
        served.new_items([name for name, _ in fresh], [one.fields for _, one in fresh])
    return [Change("add", name, one.fields, _vector(one, served)) for name, one in fresh]


def _is_there(name: str, item: NewItem, served: Served) -> bool:
    if name not in served.lookup:
        return False
    if served.lookup.fields(served.lookup.place(name)) == item.fields:
        return True
    raise Conflict(
        f"Item {name!r} is in the catalogue with another text.",
        "Add it under a new id, and retire the old one.",
    )


def _check_fields(items: Sequence[NewItem], served: Served) -> None:
    known = served.lookup.columns
    for one in items:
        for name in one.fields:
            if name not in known:
                raise DataError(f"Items have no field '{name}'.", nearest(name, known))


def _vector(item: NewItem, served: Served) -> np.ndarray[tuple[int], np.dtype[np.float32]] | None:
    """Take the vector that came with an item, for a run that was trained on such.

    Raises
    ------
    DataError
        When one is missing, of another width, too large, or not wanted.
    """
    width = served.runtime.vectors.shape[1]
    if not served.runtime.brought:
        if item.vector is not None:
            raise DataError("This run encodes the items' text itself.", "Leave the vectors out.")
        return None
    if item.vector is None or len(item.vector) != width:
        given = 0 if item.vector is None else len(item.vector)
        raise DataError(
            f"Item {item.id!r} has a vector of {given} numbers; this run needs {width}.",
            "Bring the vectors of the text model that it was trained on.",
        )
    with np.errstate(over="ignore"):
        vector = np.array(item.vector, np.float32)
        length = vector @ vector
    if not np.isfinite(length):
        raise DataError(
            f"Item {item.id!r} has a vector of larger numbers than can be computed with.",
            "Bring the vectors of the text model that it was trained on.",
        )
    return vector
