-- The disk tier's tables. `seq` only grows, so that what other processes added is found by what is above the last seen:
-- `newest` is the highest that was ever given. (AUTOINCREMENT would look it up and write it for every row.)
CREATE TABLE entries (
    seq INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    keep_until INTEGER NOT NULL,
    content BLOB NOT NULL
);
CREATE INDEX entries_used_at ON entries (used_at);
CREATE INDEX entries_keep_until ON entries (keep_until);
CREATE TABLE totals (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    entries INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    newest INTEGER NOT NULL,
    probes INTEGER NOT NULL
);
INSERT INTO totals VALUES (1, 0, 0, 0, 0);
CREATE TABLE rules (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    stamp INTEGER NOT NULL,
    UNIQUE (kind, value)
);
CREATE TABLE dictionaries (number INTEGER PRIMARY KEY, made_at REAL NOT NULL, content BLOB NOT NULL);
