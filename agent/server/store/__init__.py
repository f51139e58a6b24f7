"""The store: one file a noun, each function working on a connection that the caller opened.

    async with database.write() as connection:      # one transaction; a state change is one of these
        await jobs.queue_job(connection, ...)
        await events.add_events(connection, ...)

The only importer of sqlalchemy.
"""
