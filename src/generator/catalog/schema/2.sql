-- Money is in millionths of a US dollar; days are counted since 1970.
ALTER TABLE claims RENAME TO old_claims;
ALTER TABLE objects RENAME TO old_objects;
ALTER TABLE jobs RENAME TO old_jobs;
DROP INDEX open_jobs;
DROP INDEX claims_by_expiry;

CREATE TABLE jobs (
    id            TEXT PRIMARY KEY,
    state         TEXT NOT NULL CHECK (state IN ('accepted', 'drawing', 'storing', 'done', 'undoing', 'failed', 'handed-over')),
    reason        TEXT CHECK (reason IN ('refused', 'unknown', 'paid-invalid', 'paid-lost')),
    route         TEXT NOT NULL,
    tenant        TEXT,
    provider      TEXT NOT NULL,
    model         TEXT NOT NULL,
    prompt_sha256 TEXT NOT NULL,
    prompt_chars  INTEGER NOT NULL,
    prompt        TEXT,
    count         INTEGER NOT NULL CHECK (count > 0),
    width         INTEGER NOT NULL,
    height        INTEGER NOT NULL,
    ordered       TEXT,
    notify        TEXT,
    day           INTEGER NOT NULL,
    reserved      INTEGER NOT NULL CHECK (reserved >= 0),
    cost          INTEGER CHECK (cost >= 0),
    input_tokens  INTEGER,
    output_tokens INTEGER,
    request_id    TEXT,
    owner         TEXT NOT NULL,
    fence         INTEGER NOT NULL,
    beat          INTEGER NOT NULL DEFAULT 0,
    created_ms    INTEGER NOT NULL,
    updated_ms    INTEGER NOT NULL,
    -- The outbox: what the monolith is still to be told, when, and how often that failed.
    news          TEXT CHECK (news IN ('done', 'failed', 'handed-over')),
    news_due_ms   INTEGER,
    news_tries    INTEGER NOT NULL DEFAULT 0,
    CHECK ((state = 'failed') = (reason IS NOT NULL)),
    CHECK (ordered IS NULL OR state = 'accepted')
) STRICT, WITHOUT ROWID;

CREATE INDEX open_jobs ON jobs (id) WHERE state IN ('accepted', 'drawing', 'storing', 'undoing');
CREATE INDEX outbox ON jobs (news_due_ms) WHERE news IS NOT NULL;
CREATE INDEX jobs_of_tenant ON jobs (tenant) WHERE tenant IS NOT NULL;
CREATE INDEX jobs_by_end ON jobs (state, updated_ms);

INSERT INTO jobs (id, state, reason, route, provider, model, prompt_sha256, prompt_chars, prompt, count, width, height,
                  day, reserved, owner, fence, created_ms, updated_ms)
SELECT old_jobs.id, state, reason, COALESCE(scope, ''), provider, provider, prompt_sha256, prompt_chars, prompt, count,
       width, height, created_ms / 86400000, 0, '00000000-0000-0000-0000-000000000000/' || owner, fence, created_ms, updated_ms
FROM old_jobs LEFT JOIN old_claims ON old_claims.job = old_jobs.id;

CREATE TABLE claims (
    scope      TEXT NOT NULL,
    key        TEXT NOT NULL,
    arm        TEXT NOT NULL CHECK (arm IN ('control', 'candidate')),
    job        TEXT REFERENCES jobs (id),
    request    TEXT,
    expires_ms INTEGER NOT NULL,
    PRIMARY KEY (scope, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX claims_by_expiry ON claims (expires_ms);
CREATE INDEX claims_of_job ON claims (job);

INSERT INTO claims SELECT scope, key, 'candidate', job, request, expires_ms FROM old_claims;

CREATE TABLE objects (
    name       TEXT PRIMARY KEY,
    job        TEXT NOT NULL REFERENCES jobs (id),
    position   INTEGER NOT NULL,
    media_type TEXT NOT NULL,
    bytes      INTEGER NOT NULL,
    sha256     TEXT NOT NULL,
    UNIQUE (job, position)
) STRICT, WITHOUT ROWID;

INSERT INTO objects SELECT name, job, position, media_type, bytes, sha256 FROM old_objects;

DROP TABLE old_claims;
DROP TABLE old_objects;
DROP TABLE old_jobs;

-- What each day's generations have reserved or cost.
CREATE TABLE budget (
    day   INTEGER PRIMARY KEY,
    spent INTEGER NOT NULL CHECK (spent >= 0)
) STRICT;

-- Which catalog this is: a store whose marker names another one is not tidied up by this one.
CREATE TABLE identity (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    id  TEXT NOT NULL
) STRICT;
