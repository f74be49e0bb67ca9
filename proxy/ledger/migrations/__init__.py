"""The ledger's migrations, run by proxy/ledger/migrate.py and by nothing else: there is no alembic.ini.

Rules: files in versions/ are named by number and never changed once released; see schema.py for what they may do.
"""
