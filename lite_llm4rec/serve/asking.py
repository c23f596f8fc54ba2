"""Requests as they come → what the model's thread takes; all that can be wrong is found here."""

from collections.abc import Mapping, Sequence
from typing import Any

from lite_llm4rec.errors import ConfigError, DataError
from lite_llm4rec.serve.problems import Unavailable
from lite_llm4rec.serve.runtime import Vectors
from lite_llm4rec.serve.schemas import Id, RecommendRequest, TextItem
from lite_llm4rec.serve.served import Asked, Served
from lite_llm4rec.serve.settings import MAX_TEXTS

Texts = dict[str, Vectors]


def texts_of(requests: Sequence[RecommendRequest], served: Served) -> list[str]:
    """List the distinct texts in histories.

    Raises
    ------
    ConfigError
        When this run cannot read them.
    Unavailable
        When it could, but its Item LLM is not at hand.
    DataError
        When there are too many.
    """
    texts = list(
        dict.fromkeys(
            entry.text
            for one in requests
            for entry in one.history or ()
            if isinstance(entry, TextItem)
        )
    )
    if not texts:
        return []
    if not served.runtime.reads_text or served.runtime.brought:
        raise ConfigError("This run cannot read texts in a history.", "Give ids of its catalogue.")
    if served.encoder is None:
        raise Unavailable(served.no_encoder, "Give ids, or make the Item LLM available.")
    if len(texts) > MAX_TEXTS:
        raise DataError(
            f"There are {len(texts)} texts in the histories; {MAX_TEXTS} may be in one request.",
            "Add the items to the catalogue, and give their ids.",
        )
    return texts


def all_asked(
    requests: Sequence[RecommendRequest],
    served: Served,
    stored: Mapping[str, list[str]],
    texts: Texts,
) -> list[Asked]:
    """Translate requests as `as_asked` does; of several, the one that is wrong is named.

    Raises
    ------
    DataError
    """
    asked = []
    for place, request in enumerate(requests):
        try:
            asked.append(as_asked(request, served, stored, texts))
        except DataError as error:
            if len(requests) == 1:
                raise
            raise type(error)(f"requests.{place}: {error.problem}", error.remedy) from error
    return asked


def as_asked(
    request: RecommendRequest,
    served: Served,
    stored: Mapping[str, list[str]],
    texts: Texts,
) -> Asked:
    """Translate one request to the catalogue's own ids.

    Parameters
    ----------
    stored : mapping
        Users' recorded items; those that the catalogue does not hold are passed over.
    texts : dict
        The vectors of the texts in histories.

    Raises
    ------
    UnknownItemError
        Naming ids that the catalogue does not hold.
    DataError
        When it has no such field.
    """
    lookup = served.lookup
    entries: Sequence[Any] = request.history or ()
    if request.user is not None:
        history = lookup.known(stored[str(request.user)])
    else:
        _check_known([one for one in entries if not isinstance(one, TextItem)], request, served)
        history = [_key(one, served) for one in entries]
    only = request.only
    if only is not None:
        _check_known(only, request, served)
        only = [item for item in only if item in lookup]
    for name, value in request.where.items():
        lookup.with_value(name, value)
    written = [one.text for one in entries if isinstance(one, TextItem)]
    return Asked(
        served,
        [one for one in history if one is not None],
        request.k,
        {("text", text): texts[text] for text in written},
        frozenset(lookup.known(request.exclude)),
        None if only is None else tuple(lookup.places(only)),
        tuple(sorted(request.where.items())),
        request.include_seen,
    )


def _check_known(items: Sequence[Id], request: RecommendRequest, served: Served) -> None:
    if request.unknown == "error":
        served.lookup.places(items)


def _key(entry: Id | TextItem, served: Served) -> Any:
    """Give an entry's id in the catalogue, or its key among the texts; None if unknown."""
    if isinstance(entry, TextItem):
        return "text", entry.text
    found = served.lookup.known([entry])
    return found[0] if found else None
