"""Brings a ledger's tables to the newest version, and does nothing, quickly, when they are there.

Rules: an empty database gets its tables straight from the schema and the newest version's stamp; only an older ledger
goes through the migrations, and only then is Alembic imported, which takes longer than all the rest of a start. Proxies
that start together take turns. A ledger of a newer version is used as it is (see schema.py).
"""

from pathlib import Path
from typing import Final

from sqlalchemy import URL, Connection, Engine, create_engine, inspect, text

from proxy.ledger.faults import StoreError
from proxy.ledger.rows import HEAD, VERSION_TABLE
from proxy.ledger.schema import metadata
from proxy.ledger.sql_faults import STORE_FAULTS, translate

SCRIPTS: Final = Path(__file__).parent / "migrations"
_POSTGRES_LOCK: Final = 0x5F11_1E06  # any number will do, as long as every proxy takes the same


def version_of(connection: Connection) -> str | None:
    """The version stamped on this database; None for one without a ledger."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608
    return found


def ensure_schema(engine: Engine) -> None:
    """Create or upgrade the tables if they need it. Raises what the database raises; then nothing has changed."""
    with engine.connect() as connection:
        version = version_of(connection)
    if version is not None and version >= HEAD:
        return
    with engine.connect() as connection:
        _take_turn(connection)
        version = version_of(connection)  # another proxy may have been faster
        if version is None:
            _create(connection)
        elif version < HEAD:
            upgrade(connection)
        connection.commit()


def upgrade_file(path: Path) -> None:
    """Upgrade an SQLite ledger. Raises StoreError."""
    engine = create_engine(URL.create("sqlite", database=str(path)), hide_parameters=True)
    try:
        ensure_schema(engine)
    except STORE_FAULTS as error:
        raise translate(error) from error
    finally:
        engine.dispose()


def upgrade(connection: Connection) -> None:
    """Run the migrations that this database lacks, within the caller's transaction.

    Raises StoreError for a version that no migration knows, and what the database raises.
    """
    from alembic import command  # noqa: PLC0415 - a quarter of a second, and hardly ever needed
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreError(f"it cannot be upgraded: {error}", advice="move the ledger away to begin a new one") from error


def _create(connection: Connection) -> None:
    metadata.create_all(connection)
    # Alembic's own definition of its table, so that a later upgrade finds what it expects.
    connection.execute(
        text(
            f"CREATE TABLE IF NOT EXISTS {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL, "
            f"CONSTRAINT {VERSION_TABLE}_pkc PRIMARY KEY (version_num))"
        )
    )
    connection.execute(text(f"INSERT INTO {VERSION_TABLE} (version_num) VALUES (:version)"), {"version": HEAD})  # noqa: S608


def _take_turn(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    elif connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRES_LOCK})
