"""The tier on disk: store.py is the tier, writer.py and reader.py are its threads, file.py is the SQLite file."""
