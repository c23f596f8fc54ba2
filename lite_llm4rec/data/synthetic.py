"""A made-up catalogue and log whose best possible ranking is known."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lite_llm4rec.data.interactions import Ints
from lite_llm4rec.errors import ConfigError, DataError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# A genre's successor is the next one, cyclically.
GENRES = {
    "Sea Adventure": "Lighthouse Harbour Voyage Anchor Captain Island Reef Sailor",
    "Space": "Starship Galaxy Comet Orbit Planet Nebula Astronaut Moonbase",
    "Crime": "Detective Alibi Heist Murder Witness Verdict Inspector Clue",
    "Fantasy": "Dragon Wizard Sorcerer Enchantment Elf Unicorn Spellbook Griffin",
    "Romance": "Wedding Sweetheart Kiss Valentine Bride Proposal Bouquet Honeymoon",
    "Western": "Cowboy Saloon Sheriff Outlaw Ranch Prairie Stagecoach Gunslinger",
    "Horror": "Ghost Vampire Crypt Haunting Werewolf Graveyard Demon Zombie",
    "Cookery": "Kitchen Recipe Bakery Chef Banquet Pantry Oven Spice",
}
ADJECTIVES = (
    "Amber Silent Crimson Forgotten Golden Hidden Last Lonely "
    "Midnight Northern Old Pale Secret Silver Wandering Winter"
)
SHORTEST, LONGEST = 8, 20  # interactions per user, both included
SKEW = 0.3  # the r-th most popular item is drawn in proportion to r**-SKEW
START = 1_672_531_200  # 2023-01-01, unix seconds
YEAR, WEEK = 365 * 86_400, 7 * 86_400  # seconds
BLOCK = 1024  # histories whose probabilities are held at a time
ROWS = 1_000_000  # rows of a big log made at a time


@dataclass(frozen=True)
class Bound:
    """What the ranking by the true probabilities reaches, means over the histories.

    Attributes
    ----------
    recall, ndcg : float
        Expected Recall@k and NDCG@k; no model's expected ones are higher.
    realised_recall, realised_ndcg : float
        The same ranking's on the given targets; differ from the expected by sampling only.
    """

    recall: float
    ndcg: float
    realised_recall: float
    realised_ndcg: float


@dataclass(frozen=True, eq=False)
class Synthetic:
    """A catalogue, a log, and the probabilities that the log was drawn from.

    Items are meant by their row in `items`. A user's next item is

    - with `p_next`, the next unseen part of the last item's series;
    - with `p_genre`, the unseen first part of a series, by popularity: of the last item's genre,
      or, once the last two items share a genre, of that genre's successor;
    - else any unseen item, by popularity.

    Where a series has no such part, its share goes to the genre; where a genre has no such
    series, its share goes to all items. A first item is any item, by popularity.

    Attributes
    ----------
    interactions : pyarrow.Table
        (interactions,) user_id, item_id: string; timestamp: int64 unix seconds. In time order,
        strictly increasing per user.
    items : pyarrow.Table
        (items,) item_id, title, genre: string.
    histories : list of numpy.ndarray
        Per user, in order of user_id, the items in time order.
    genre : numpy.ndarray
        (items,) position in `GENRES`.
    later : numpy.ndarray
        (items, parts - 1) the later parts of the same series in order, then -1.
    popularity : numpy.ndarray
        (items,) positive, sums to 1.
    opening : numpy.ndarray
        (genres, items) popularity where the item is a first part in that genre, else 0.
    p_next, p_genre : float
        See above.
    """

    interactions: pa.Table
    items: pa.Table
    histories: list[Ints]
    genre: Ints
    later: Ints
    popularity: Floats
    opening: Floats
    p_next: float
    p_genre: float

    def next_probabilities(self, history: Sequence[int] | Ints) -> Floats:
        """Give each item's probability to come next, (items,); 0 for the seen ones.

        Parameters
        ----------
        history : sequence of int
            Items in time order, possibly none.

        Raises
        ------
        DataError
            When an item does not exist or none is left to come next.
        """
        items = np.asarray(history, dtype=np.int64)
        size = len(self.genre)
        if ((items < 0) | (items >= size)).any():
            raise DataError(f"The history {items.tolist()} has items outside 0…{size - 1}.")
        if len(np.unique(items)) == size:
            raise DataError("The history holds every item, so none can come next.")
        chances: Floats = _probabilities(self, *_state([items], size))[0]
        return chances

    def bound(self, histories: Sequence[Ints], targets: Sequence[int] | Ints, k: int) -> Bound:
        """Measure the best possible ranking, with the seen filter.

        Parameters
        ----------
        histories : sequence of numpy.ndarray
            (histories,) items in time order.
        targets : sequence of int
            (histories,) the items that came next.
        k : int
            Length of the ranking, at most the number of items.

        Raises
        ------
        DataError
            When there are no histories, or not one target for each.
        """
        if not len(histories) or len(histories) != len(targets):
            raise DataError(
                f"{len(histories)} histories and {len(targets)} targets cannot be measured.",
                "Give one target for each of one or more histories.",
            )
        discount = 1 / np.log2(np.arange(k) + 2)
        wanted = np.asarray(targets)
        sums = np.zeros(4)
        for start, chances in self._blocks(histories):
            top = np.argsort(-chances, axis=1, kind="stable")[:, :k]
            best = np.take_along_axis(chances, top, axis=1)
            hits = top == wanted[start : start + BLOCK, None]
            sums += [best.sum(), (best * discount).sum(), hits.sum(), (hits * discount).sum()]
        return Bound(*(sums / len(histories)).tolist())

    def _blocks(self, histories: Sequence[Ints]) -> Iterator[tuple[int, Floats]]:
        """Give (start, (≤ BLOCK, items) probabilities) for all histories, block by block."""
        for start in range(0, len(histories), BLOCK):
            state = _state(histories[start : start + BLOCK], len(self.genre))
            yield start, _probabilities(self, *state)


def make(
    users: int = 3000,
    *,
    series: int = 60,
    parts: int = 4,
    singles: int = 60,
    p_next: float = 0.45,
    p_genre: float = 0.3,
    seed: int = 0,
) -> Synthetic:
    """Make a catalogue of `series * parts + singles` items and a log of 8 to 20 per user.

    The catalogue depends on the seed and the three numbers about it, not on `users`.

    Parameters
    ----------
    users : int
        How many.
    series, parts, singles : int
        How many series, how many parts each of them has, how many titles belong to none.
    p_next, p_genre : float
        See `Synthetic`; together below 1.
    seed : int
        The same seed gives the same tables.

    Raises
    ------
    ConfigError
        On numbers that no catalogue or log can be made with.

    Examples
    --------
    >>> world = make(users=100)
    >>> world.items.num_rows, float(round(world.next_probabilities([7]).sum(), 9))
    (300, 1.0)
    """
    _check(users, series, parts, singles, p_next, p_genre)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(series * parts + singles)  # the row of each item, series first
    items, genre = _catalogue(rng, rows, series, parts)
    later, first = _order(rows, series, parts)
    popularity = rng.permutation(np.arange(1.0, len(rows) + 1) ** -SKEW)
    popularity /= popularity.sum()
    opening = popularity * first * (genre == np.arange(len(GENRES))[:, None])
    empty = Synthetic(pa.table({}), items, [], genre, later, popularity, opening, p_next, p_genre)
    histories = _histories(rng, empty, users)
    log = _interactions(rng, histories, items["item_id"].to_numpy())
    return Synthetic(log, items, histories, genre, later, popularity, opening, p_next, p_genre)


def big_log(users: int, items: int, interactions: int, seed: int = 0) -> pa.Table:
    """Make a large skewed log without text, to measure the preparation of data with.

    A user may meet an item again. Few users and items have most of the interactions: the r-th
    item about r**(-2/3), the r-th user about r**(-1/2) in proportion.

    Parameters
    ----------
    users, items, interactions : int
        How many; ids are 0…users−1 and 0…items−1, not all of which need to occur.
    seed : int
        The same seed gives the same log.

    Returns
    -------
    pyarrow.Table
        (interactions,) user_id, item_id, timestamp (unix seconds): int64; in time order, users
        mixed, with time ties.

    Raises
    ------
    ConfigError
        When one of the numbers is not positive.
    """
    if min(users, items, interactions) < 1:
        raise ConfigError(
            "A big log needs at least one user, one item and one interaction.", "Give 1 or more."
        )
    rng = np.random.default_rng(seed)
    user_ids, item_ids = rng.permutation(users), rng.permutation(items)
    clock = START
    batches = []
    for start in range(0, interactions, ROWS):
        size = min(ROWS, interactions - start)
        times = clock + np.cumsum(rng.integers(0, 3, size))
        clock = int(times[-1])
        user = user_ids[(rng.random(size) ** 2 * users).astype(np.int64)]
        item = item_ids[(rng.random(size) ** 3 * items).astype(np.int64)]
        columns = {"user_id": user, "item_id": item, "timestamp": times}
        batches.append(pa.RecordBatch.from_pydict(columns))
    return pa.Table.from_batches(batches)


def _check(
    users: int, series: int, parts: int, singles: int, p_next: float, p_genre: float
) -> None:
    """Refuse what `make` cannot do."""
    size, names = series * parts + singles, _names_per_genre() * len(GENRES)
    if users < 1 or series < 1 or parts < 2 or singles < 0:
        raise ConfigError(
            f"users={users}, series={series}, parts={parts}, singles={singles} cannot be made.",
            "Ask for at least one user, one series of two parts, and no fewer than 0 singles.",
        )
    if series + singles > names or size <= LONGEST:
        raise ConfigError(
            f"{series} series and {singles} singles, {size} items, are too many or too few.",
            f"Series and singles may be {names} together; items must be more than {LONGEST}.",
        )
    if p_next < 0 or p_genre < 0 or p_next + p_genre >= 1:
        raise ConfigError(
            f"p_next={p_next} and p_genre={p_genre} leave no chance for the other items.",
            "Give two numbers from 0 on whose sum is below 1.",
        )


def _names_per_genre() -> int:
    """Count the different names that each genre has."""
    return len(ADJECTIVES.split()) * min(len(nouns.split()) for nouns in GENRES.values())


def _catalogue(
    rng: np.random.Generator, rows: Ints, series: int, parts: int
) -> tuple[pa.Table, Ints]:
    """Name the items: the table and each row's genre (items,)."""
    size = len(rows)
    names = series + size - series * parts  # of series, then of singles
    series_of = np.arange(size) // parts
    owner = np.where(series_of < series, series_of, np.arange(size) - series * parts + series)
    stems = _stems(rng, names)
    titles = np.empty(size, dtype=object)
    genre = np.empty(size, dtype=np.int64)
    for number, row in enumerate(rows):
        part = f", Part {number % parts + 1}" if series_of[number] < series else ""
        titles[row] = stems[owner[number]] + part
        genre[row] = owner[number] % len(GENRES)
    width = len(str(10 * size - 1))
    ids = [f"b{number:0{width}d}" for number in rng.permutation(10 * size)[:size]]
    columns = {"item_id": ids, "title": titles, "genre": np.array(list(GENRES), object)[genre]}
    return pa.table(
        {name: pa.array(values, pa.string()) for name, values in columns.items()}
    ), genre


def _stems(rng: np.random.Generator, names: int) -> list[str]:
    """Draw distinct names, the n-th of genre n modulo the number of genres."""
    drawn = []
    for nouns in GENRES.values():
        pairs = list(product(ADJECTIVES.split(), nouns.split()))
        drawn.append([pairs[index] for index in rng.permutation(len(pairs))])
    chosen = [drawn[n % len(GENRES)][n // len(GENRES)] for n in range(names)]
    return [f"The {adjective} {noun}" for adjective, noun in chosen]


def _order(rows: Ints, series: int, parts: int) -> tuple[Ints, Bools]:
    """Say which parts come later (items, parts - 1) and which items are first parts (items,)."""
    grid = rows[: series * parts].reshape(series, parts)
    later = np.full((len(rows), parts - 1), -1, dtype=np.int64)
    for part in range(parts - 1):
        later[grid[:, part], : parts - 1 - part] = grid[:, part + 1 :]
    first = np.zeros(len(rows), dtype=bool)
    first[grid[:, 0]] = True
    return later, first


def _state(histories: Sequence[Ints], size: int) -> tuple[Ints, Ints, Bools]:
    """Sum up histories: the last and the last but one (batch,), or -1; seen (batch, items)."""
    last = np.array([history[-1] if len(history) > 0 else -1 for history in histories])
    before = np.array([history[-2] if len(history) > 1 else -1 for history in histories])
    seen = np.zeros((len(histories), size), dtype=bool)
    for row, history in enumerate(histories):
        seen[row, history] = True
    return last, before, seen


def _probabilities(world: Synthetic, last: Ints, before: Ints, seen: Bools) -> Floats:
    """Give (batch, items) probabilities of the next item; for the arguments see `_state`."""
    users = np.arange(len(last))
    later = world.later[last]
    unread = (later >= 0) & ~seen[users[:, None], later] & (last >= 0)[:, None]
    has_part = unread.any(axis=1)
    part = later[users, unread.argmax(axis=1)]

    twice = (before >= 0) & (world.genre[before] == world.genre[last])
    genre = (world.genre[last] + twice) % len(GENRES)
    opening = np.where(seen, 0.0, world.opening[genre])
    total = opening.sum(axis=1)
    has_opening = (total > 0) & (last >= 0)

    part_share = np.where(has_part, world.p_next, 0.0)
    opening_share = np.where(has_opening, world.p_next + world.p_genre - part_share, 0.0)
    anything = np.where(seen, 0.0, world.popularity)
    anything *= ((1 - part_share - opening_share) / anything.sum(axis=1))[:, None]
    opening *= (opening_share / np.where(has_opening, total, 1.0))[:, None]
    chances: Floats = anything + opening
    chances[users[has_part], part[has_part]] += world.p_next
    return chances


def _histories(rng: np.random.Generator, world: Synthetic, users: int) -> list[Ints]:
    """Draw every user's items, all users of a block one step at a time."""
    histories: list[Ints] = []
    for start in range(0, users, BLOCK):
        size = min(BLOCK, users - start)
        drawn = np.full((size, LONGEST + 1), -1)  # before the first item stands -1
        seen = np.zeros((size, len(world.genre)), dtype=bool)
        for step in range(1, LONGEST + 1):
            before = drawn[:, step - 2] if step > 1 else drawn[:, 0]
            sums = _probabilities(world, drawn[:, step - 1], before, seen).cumsum(axis=1)
            point = rng.random((size, 1)) * sums[:, -1:]
            drawn[:, step] = (sums <= point).sum(axis=1)
            seen[np.arange(size), drawn[:, step]] = True
        lengths = rng.integers(SHORTEST, LONGEST + 1, size)
        histories += [row[1 : 1 + length] for row, length in zip(drawn, lengths, strict=True)]
    return histories


def _interactions(
    rng: np.random.Generator, histories: list[Ints], item_ids: npt.NDArray[np.object_]
) -> pa.Table:
    """Give the histories times, at least a minute apart per user, and put all in time order."""
    lengths = np.array([len(history) for history in histories])
    gaps = 60 + rng.exponential(WEEK, lengths.sum()).astype(np.int64)
    elapsed = np.cumsum(gaps)
    ends = np.cumsum(lengths)
    begun = elapsed[ends - lengths]
    joined = START + rng.integers(0, YEAR, len(histories))
    times = elapsed + np.repeat(joined - begun, lengths)
    order = np.argsort(times, kind="stable")
    names = np.array([f"u{number:06d}" for number in range(len(histories))], dtype=object)
    columns = {
        "user_id": pa.array(np.repeat(names, lengths)[order], pa.string()),
        "item_id": pa.array(item_ids[np.concatenate(histories)][order], pa.string()),
        "timestamp": pa.array(times[order], pa.int64()),
    }
    return pa.table(columns)
