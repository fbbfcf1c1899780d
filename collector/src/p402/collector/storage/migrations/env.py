"""Runs the migrations on the connection that `migrate.upgrade` hands in."""

from alembic import context

from p402.collector.storage.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
