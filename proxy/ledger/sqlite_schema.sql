CREATE TABLE IF NOT EXISTS calls (
    id VARCHAR(40) NOT NULL,
    started_at DOUBLE NOT NULL,
    client TEXT NOT NULL,
    provider TEXT NOT NULL,
    operation TEXT NOT NULL,
    model TEXT NOT NULL,
    status INTEGER NOT NULL,
    outcome VARCHAR(16) NOT NULL,
    streamed BOOLEAN NOT NULL,
    input_tokens BIGINT DEFAULT 0 NOT NULL,
    output_tokens BIGINT DEFAULT 0 NOT NULL,
    cache_read_tokens BIGINT DEFAULT 0 NOT NULL,
    cache_write_tokens BIGINT DEFAULT 0 NOT NULL,
    reasoning_tokens BIGINT DEFAULT 0 NOT NULL,
    audio_tokens BIGINT DEFAULT 0 NOT NULL,
    estimated BOOLEAN NOT NULL,
    cost_nanousd BIGINT,
    saved_nanousd BIGINT,
    potential_nanousd BIGINT,
    first_byte_ms DOUBLE,
    total_ms DOUBLE NOT NULL,
    overhead_ms DOUBLE NOT NULL,
    request_bytes BIGINT DEFAULT 0 NOT NULL,
    response_bytes BIGINT DEFAULT 0 NOT NULL,
    service_tier TEXT NOT NULL,
    price_version TEXT NOT NULL,
    error TEXT NOT NULL,
    credential TEXT NOT NULL,
    fingerprint TEXT DEFAULT '' NOT NULL,
    labels JSON NOT NULL,
    prompt_cache JSON,
    minute BIGINT NOT NULL,
    PRIMARY KEY (id)
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS ix_calls_credential_started_at ON calls (credential, started_at);

CREATE INDEX IF NOT EXISTS ix_calls_model_started_at ON calls (model, started_at);

CREATE INDEX IF NOT EXISTS ix_calls_started_at ON calls (started_at);

CREATE TABLE IF NOT EXISTS alembic_version (
    version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
