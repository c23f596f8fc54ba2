"""Alembic's entry: runs the migrations on the connection that `store.migrate` brings."""

from alembic import context

from lite_llm4rec.serve.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table="lite_llm4rec_version",
    transactional_ddl=False,  # the caller's transaction holds all of it
)
context.run_migrations()
