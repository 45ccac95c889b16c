-- What is held now.
CREATE TABLE brake (
    route  TEXT NOT NULL PRIMARY KEY,
    at     TEXT NOT NULL,     -- monolith | shadow
    since  INTEGER NOT NULL,  -- milliseconds since 1970
    by     TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Every pull and release, for good. `told` is set by the process that tells people of it.
CREATE TABLE history (
    id     INTEGER PRIMARY KEY,
    time   INTEGER NOT NULL,
    route  TEXT NOT NULL,
    before TEXT,              -- monolith | shadow, or null where nothing held it
    after  TEXT,
    by     TEXT NOT NULL,
    reason TEXT NOT NULL,
    told   INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX history_untold ON history (id) WHERE told = 0;
