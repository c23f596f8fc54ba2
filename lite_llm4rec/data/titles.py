"""Find an item by the words of its title, as a person would type it."""

import re
from collections.abc import Sequence
from difflib import get_close_matches

from lite_llm4rec.errors import UnknownItemError, nearest

_YEAR = re.compile(r"\s*\(\d{4}\)\s*$")
_ARTICLE = re.compile(r"^(.*), (the|a|an|la|le|les|il|el|der|die|das)$")


def plain_title(title: str) -> str:
    """Bring a title to the form in which titles are compared.

    >>> plain_title("Bug's Life, A (1998)"), plain_title("A Bug's Life")
    ("a bug's life", "a bug's life")
    """
    text = _YEAR.sub("", title.strip().lower())
    moved = _ARTICLE.match(text)
    return f"{moved[2]} {moved[1]}" if moved else text


def find_title(titles: Sequence[str], words: str) -> int:
    """Return the place of the one title that `words` mean.

    The same title, year and article aside, wins over one that merely contains the words.

    Raises
    ------
    UnknownItemError
        When no title or several match; they are named.
    """
    wanted = plain_title(words)
    plain = [plain_title(title) for title in titles]
    same = words.strip().lower()
    for matches, relation in (
        ([place for place, title in enumerate(titles) if title.lower() == same], "is the title"),
        ([place for place, title in enumerate(plain) if title == wanted], "is the title"),
        ([place for place, title in enumerate(plain) if wanted in title], "is in the titles"),
    ):
        if len(matches) == 1:
            return matches[0]
        if matches:
            shown = "; ".join(titles[place] for place in matches[:5])
            raise UnknownItemError(
                f"'{words}' {relation} of {len(matches)} items: {shown}"
                + ("…" if len(matches) > 5 else "."),
                "Give the whole title, its year included, or the item's id.",
            )
    close = get_close_matches(wanted, plain, n=1)
    names = [titles[plain.index(close[0])]] if close else titles
    raise UnknownItemError(
        f"No title contains '{words}'.",
        f"did you mean '{names[0]}'?" if close else nearest(words, names),
    )
