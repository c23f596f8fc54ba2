"""One line of text from the fields of an item."""

from collections.abc import Callable, Mapping

from lite_llm4rec.data.attributes import split_values, tidy

TEMPLATE_VERSION = "title-and-fields/1"


def item_text(fields: Mapping[str, str | None]) -> str:
    """Write an item's fields as one line: the title, then ``Name: value`` of every other field.

    Parameters
    ----------
    fields : Mapping[str, str | None]
        Field name to value; the first field is the title. Empty fields are left out.

    Returns
    -------
    str
        One line of text, empty when every field is.

    Notes
    -----
    Source: section 4.2 takes "context information (e.g., title, genre)" and gives no wording; this
    template is our choice.

    Examples
    --------
    >>> item_text({"title": "Toy Story (1995)", "genres": "Animation|Children's|Comedy"})
    "Toy Story (1995). Genres: Animation, Children's, Comedy"
    """
    parts = []
    for position, (name, value) in enumerate(fields.items()):
        text = tidy(value) if position == 0 else ", ".join(split_values(tidy(value)))
        if text:
            parts.append(text if position == 0 else f"{_label(name)}: {text}")
    return _join(parts)


def title_text(fields: Mapping[str, str | None]) -> str:
    """Give the title, that is the first field, alone.

    >>> title_text({"title": "Heat &amp; Dust", "genres": "Drama"})
    'Heat & Dust'
    """
    return tidy(next(iter(fields.values()), None))


TEMPLATES: dict[str, Callable[[Mapping[str, str | None]], str]] = {
    TEMPLATE_VERSION: item_text,
    "title/1": title_text,
}


def _label(name: str) -> str:
    words = tidy(name.replace("_", " "))
    return words[:1].upper() + words[1:]


def _join(parts: list[str]) -> str:
    line = ""
    for part in parts:
        stop = "" if not line else " " if line[-1] in ".!?" else ". "
        line += stop + part
    return line
