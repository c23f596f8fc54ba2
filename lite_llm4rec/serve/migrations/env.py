"""Alembic's entry: runs the migrations on what `store.migrate` brings."""

from alembic import context

from lite_llm4rec.serve.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=context.config.attributes["version_table"],
    transactional_ddl=False,  # the caller's transaction holds all of it
)
context.run_migrations()
