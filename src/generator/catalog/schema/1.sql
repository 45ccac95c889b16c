-- Times are milliseconds since 1970; ids, keys and hashes are text, so that a person can read them.
CREATE TABLE jobs (
    id            TEXT PRIMARY KEY,
    state         TEXT NOT NULL CHECK (state IN ('drawing', 'storing', 'done', 'undoing', 'failed')),
    reason        TEXT CHECK (reason IN ('refused', 'unknown', 'paid-invalid', 'paid-lost')),
    provider      TEXT NOT NULL,
    prompt_sha256 TEXT NOT NULL,
    prompt_chars  INTEGER NOT NULL,
    prompt        TEXT,
    count         INTEGER NOT NULL CHECK (count > 0),
    width         INTEGER NOT NULL,
    height        INTEGER NOT NULL,
    owner         TEXT NOT NULL,
    fence         INTEGER NOT NULL,
    created_ms    INTEGER NOT NULL,
    updated_ms    INTEGER NOT NULL,
    CHECK ((state = 'failed') = (reason IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX open_jobs ON jobs (owner) WHERE state IN ('drawing', 'storing', 'undoing');

CREATE TABLE claims (
    scope      TEXT NOT NULL,
    key        TEXT NOT NULL,
    job        TEXT NOT NULL REFERENCES jobs (id),
    request    TEXT NOT NULL,
    expires_ms INTEGER NOT NULL,
    PRIMARY KEY (scope, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX claims_by_expiry ON claims (expires_ms);

CREATE TABLE objects (
    name       TEXT PRIMARY KEY,
    job        TEXT NOT NULL REFERENCES jobs (id),
    position   INTEGER NOT NULL,
    media_type TEXT NOT NULL,
    bytes      INTEGER NOT NULL,
    sha256     TEXT NOT NULL,
    UNIQUE (job, position)
) STRICT, WITHOUT ROWID;
