"""What comes in and goes out, with the limits and examples that OpenAPI shows."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from lite_llm4rec.serve.settings import (
    MAX_BATCH,
    MAX_BATCH_IDS,
    MAX_CHANGES,
    MAX_FIELDS,
    MAX_HISTORY,
    MAX_ID_LENGTH,
    MAX_K,
    MAX_LISTED,
    MAX_TEXT_LENGTH,
    MAX_VECTOR,
    PLAIN,
)

MAX_TIME = 253_402_300_799  # the end of the year 9999
NO_ZERO_BYTE = r"^[^\x00]*$"

Number = Annotated[int, Field(strict=True, ge=-(2**63), le=2**63 - 1)]
Words = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=MAX_ID_LENGTH, pattern=PLAIN),
]
Id = Number | Words
Text = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=MAX_TEXT_LENGTH, pattern=NO_ZERO_BYTE),
]
K = Annotated[
    int,
    Field(
        ge=1,
        le=MAX_K,
        description="How many items; of a model that writes ids, its beams at most.",
    ),
]
Finite = Annotated[float, Field(allow_inf_nan=False)]


def _check_names(given: Any) -> Any:
    """Refuse an object of very many names at once, not for each name."""
    if isinstance(given, dict) and len(given) > MAX_FIELDS:
        raise ValueError(f"{len(given):,} names, of {MAX_FIELDS} at most")
    return given


# Lists end at their first mistake: a body may hold a million, and each would be written down.
Ids = Annotated[list[Id], Field(max_length=MAX_HISTORY, fail_fast=True)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _few_names(cls, given: Any) -> Any:
        return _check_names(given)


class TextItem(_Request):
    """An item that the catalogue lacks, by its text: it is read, not recommended."""

    text: Text = Field(
        description="As the Item LLM reads it: the title, and what else is known of the item.",
        examples=["Heat (1995). Genres: Action, Crime"],
    )


Entries = Annotated[list[Id | TextItem], Field(max_length=MAX_HISTORY, fail_fast=True)]


class RecommendRequest(_Request):
    """Recommend for a history, or for a user whose events were recorded."""

    history: Entries | None = Field(
        None,
        description="Items in time order, the latest last: ids, or texts of items that the "
        "catalogue lacks. An empty history gets the most popular items.",
    )
    user: Id | None = Field(None, description="Or a user: what was recorded of them.")
    k: K = 10
    exclude: Ids = Field([], description="Never these; unknown ids are passed over.")
    only: Ids | None = Field(None, description="Among these alone.")
    where: Annotated[dict[Words, Words], BeforeValidator(_check_names)] = Field(
        {},
        max_length=8,
        description="Only items one of whose values of a field is this, case aside.",
    )
    include_seen: bool | None = Field(
        None, description="Whether items of the history may come again. Default: as trained."
    )
    unknown: Literal["error", "drop"] = Field(
        "error", description="What to do with ids that the catalogue does not hold."
    )

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"history": ["b0291", "b0136"], "k": 5},
                {"history": ["b0291", {"text": "The Old Pantry, Part 7"}], "exclude": ["b0574"]},
                {"user": "u17", "where": {"genres": "Comedy"}, "include_seen": False},
            ]
        },
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> "RecommendRequest":
        if (self.history is None) == (self.user is None):
            raise ValueError("give a history or a user, one of the two")
        return self


class BatchRequest(_Request):
    """Several requests, answered together or not at all."""

    requests: list[RecommendRequest] = Field(min_length=1, max_length=MAX_BATCH, fail_fast=True)

    @model_validator(mode="after")
    def _short_enough(self) -> Self:
        listed = sum(one.k for one in self.requests)
        if listed > MAX_LISTED:
            raise ValueError(f"the lists hold {listed:,} items together, of {MAX_LISTED:,} at most")
        given = sum(
            len(one.history or ()) + len(one.exclude) + len(one.only or ()) for one in self.requests
        )
        if given > MAX_BATCH_IDS:
            raise ValueError(
                f"history, exclude and only hold {given:,} items together, of {MAX_BATCH_IDS:,}"
                " at most: send several smaller batches"
            )
        return self


class ExplainRequest(_Request):
    """Explain the score of an item for a history."""

    history: Entries = Field(
        min_length=1,
        description="As for /recommend; the latest 32 items are explained.",
    )
    item: Id = Field(description="The item whose score is to be explained.")


class PartOfScore(BaseModel):
    """An item of the history."""

    title: str
    effect: float | None = Field(
        description="The score minus the score without this item; none where it is the only one."
    )
    text: float | None = Field(description="Cosine of the two texts; none where none are read.")


class Explained(BaseModel):
    """What the items of a history do for one item's score, in the history's order."""

    score: float
    parts: list[PartOfScore]


class ScoredItem(BaseModel):
    """An item of a list."""

    id: int | str
    title: str
    score: float = Field(description="Higher is better; comparable within one list only.")


class Recommended(BaseModel):
    """One list, best first; shorter than k only where no more candidates are left."""

    items: list[ScoredItem]
    note: str = Field(description="What is special about the list, else empty.")


class BatchRecommended(BaseModel):
    """One list for each request, in order."""

    results: list[Recommended]


class FoundItem(BaseModel):
    """An item that a search found."""

    id: int | str
    title: str
    by: Literal["title", "text"] = Field(description="Its title holds the words, or it is near.")
    score: float | None = Field(description="Cosine of the texts; none for a title.")
    retired: bool


class Found(BaseModel):
    """Items found: titles that begin so, titles that hold it, then the nearest by text."""

    items: list[FoundItem]


class Item(BaseModel):
    """An item of the catalogue."""

    id: int | str
    title: str
    fields: dict[str, str]
    retired: bool = Field(description="Retired items are recommended no more.")
    training_interactions: int = Field(description="0 for a cold item, known by its text alone.")


class Items(BaseModel):
    """A page of the catalogue."""

    items: list[Item]
    total: int


class NewItem(_Request):
    """An item to add."""

    id: Id
    fields: Annotated[dict[Words, Text], BeforeValidator(_check_names)] = Field(
        max_length=MAX_FIELDS,
        description="Its text, by the names of the catalogue's fields (see /info).",
        examples=[{"title": "The Last Lighthouse", "genres": "Drama"}],
    )
    vector: Annotated[list[Finite], Field(max_length=MAX_VECTOR, fail_fast=True)] | None = Field(
        None, description="For runs that were trained on brought vectors."
    )


class AddItems(_Request):
    """Items to add; those that are there with the same text are passed over."""

    items: list[NewItem] = Field(min_length=1, max_length=MAX_CHANGES, fail_fast=True)


class Added(BaseModel):
    """What came of adding."""

    added: int
    known: int = Field(description="There already, with the same text.")
    items: int = Field(description="The catalogue's size now.")


class RetireItems(_Request):
    """Items to retire, or to restore."""

    items: list[Id] = Field(min_length=1, max_length=MAX_CHANGES, fail_fast=True)
    restore: bool = Field(False, description="Recommend them again.")


class Retired(BaseModel):
    """What came of retiring."""

    retired: int = Field(description="How many items of the catalogue are retired now.")


class Event(_Request):
    """A user watched, bought, read… an item."""

    user: Id
    item: Id
    time: float | None = Field(
        None, ge=0, le=MAX_TIME, allow_inf_nan=False, description="Unix seconds. Default: now."
    )


class RecordEvents(_Request):
    """Events to record, all or none."""

    events: list[Event] = Field(min_length=1, max_length=MAX_CHANGES, fail_fast=True)

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"events": [{"user": "u17", "item": "b0291", "time": 1718000000}]}]
        },
    )


class Recorded(BaseModel):
    """The events are on the disk."""

    recorded: int
    unknown_items: int = Field(
        description="Of them, events with an item that the catalogue does not hold (yet)."
    )


class UserHistory(BaseModel):
    """What is stored of a user."""

    history: list[str] = Field(description="Ids as text, in time order.")


class Deleted(BaseModel):
    """What was deleted of a user."""

    events: int


class Info(BaseModel):
    """The run that is served."""

    run: str
    model: str
    preset: str
    items: int
    retired: int
    added: int = Field(description="Items that were added while it was served.")
    ids: Literal["number", "text"] = Field(
        description="What ids are; numbers beyond 2⁵³ are written as text, and may all come as it."
    )
    fields: list[str] = Field(description="The text fields of items, the title first.")
    reads_text: bool = Field(description="Whether histories may hold texts.")
    scores_items: bool = Field(
        description="Whether every item has a score, as /explain and /similar need it; a model"
        " that writes ids scores those of its list alone."
    )
    takes_items: bool = Field(description="Whether items can be added.")
    searches_text: bool = Field(description="Whether /search also finds what is near by text.")


class Reloaded(BaseModel):
    """What came of a reload."""

    run: str
    items: int
    added: int = Field(description="Items added at run time that this run does not hold.")
    in_run: int = Field(description="Items added at run time that this run now holds itself.")
    refused: dict[str, str] = Field(description="Added items that this run cannot take, and why.")


class Health(BaseModel):
    """Whether requests can be answered; of each part "ok" or what is wrong with it."""

    ready: bool
    parts: dict[str, str]


class ProblemBody(BaseModel):
    """What is wrong, and what to do about it."""

    detail: str
    remedy: str
    request_id: str


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": ProblemBody, "description": what}
    for status, what in {
        400: "The body is no JSON.",
        401: "The API key is missing or wrong.",
        403: "There are no API keys, and another site or machine asks.",
        408: "The body does not arrive.",
        413: "The body is too large.",
        422: "Something in the request cannot be right.",
        429: "Too many requests wait; Retry-After says for how long to.",
        503: "Something that is needed did not answer in time; Retry-After likewise.",
    }.items()
}
