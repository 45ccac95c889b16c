CREATE TABLE meta (
  key TEXT PRIMARY KEY,
  value BLOB NOT NULL
) WITHOUT ROWID;

-- What the answers of a route depend on. One row for each basis; times in milliseconds since 1970.
CREATE TABLE epoch (
  id INTEGER PRIMARY KEY,
  route TEXT NOT NULL,
  name TEXT NOT NULL,            -- hash of the basis
  hash TEXT,                     -- hash of the basis and the frozen path states
  number INTEGER NOT NULL,       -- 1, 2, .. within the route
  basis TEXT NOT NULL,           -- JSON
  learner TEXT,                  -- JSON, while calibrating
  states TEXT,                   -- JSON, once frozen
  started_at INTEGER NOT NULL,
  active_at INTEGER NOT NULL,    -- last taken up: the greatest is the route's current epoch
  requests INTEGER NOT NULL DEFAULT 0,
  UNIQUE (route, name)
);

-- One row for each sampled request. Durations in microseconds.
CREATE TABLE comparison (
  id BLOB PRIMARY KEY,           -- UUIDv7
  epoch INTEGER NOT NULL REFERENCES epoch (id),
  at INTEGER NOT NULL,
  due INTEGER,                   -- the candidate was called and has not ended; counts once this time has passed
  gateway TEXT NOT NULL,
  direction TEXT NOT NULL,
  stratum TEXT NOT NULL,
  sample_rate REAL NOT NULL,
  subject TEXT,                  -- keyed hash; NULL is the shared anonymous subject
  request TEXT NOT NULL,         -- keyed hash; '-' where the body is not known
  class TEXT NOT NULL,
  control_outcome TEXT NOT NULL,
  control_status INTEGER,
  control_first_byte INTEGER,
  control_total INTEGER,
  control_bytes INTEGER NOT NULL,
  control_media_type TEXT,
  control_body_hash TEXT,
  control_cost_usd REAL NOT NULL,
  candidate_outcome TEXT,        -- NULL: never called
  candidate_status INTEGER,
  candidate_first_byte INTEGER,
  candidate_total INTEGER,
  candidate_bytes INTEGER,
  candidate_media_type TEXT,
  candidate_body_hash TEXT,
  candidate_cost_usd REAL
) WITHOUT ROWID;

-- All that a report reads of every row, so that a million of them are one short scan.
CREATE INDEX comparison_of_epoch ON comparison (
  epoch, id, at, due, class, stratum, subject, control_total, candidate_total, candidate_cost_usd, gateway
);

CREATE TABLE difference (
  comparison BLOB NOT NULL REFERENCES comparison (id) ON DELETE CASCADE,
  place INTEGER NOT NULL,
  path TEXT NOT NULL,
  kind TEXT NOT NULL,
  control TEXT,
  candidate TEXT,
  severity TEXT NOT NULL,
  rule TEXT,
  PRIMARY KEY (comparison, place)
) WITHOUT ROWID;

CREATE TABLE image (
  comparison BLOB NOT NULL REFERENCES comparison (id) ON DELETE CASCADE,
  place INTEGER NOT NULL,
  arm TEXT NOT NULL,
  position INTEGER NOT NULL,
  delivery TEXT NOT NULL,
  sniffed TEXT,
  declared TEXT,
  width INTEGER NOT NULL,
  height INTEGER NOT NULL,
  color TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  decodes INTEGER NOT NULL,
  entropy REAL NOT NULL,
  luma_deviation REAL NOT NULL,
  dominant REAL NOT NULL,
  hash TEXT NOT NULL,
  PRIMARY KEY (comparison, place)
) WITHOUT ROWID;

CREATE TABLE alarm (
  comparison BLOB NOT NULL REFERENCES comparison (id) ON DELETE CASCADE,
  kind TEXT NOT NULL,
  PRIMARY KEY (comparison, kind)
) WITHOUT ROWID;

-- Comparisons that were counted while the disk could not take them.
CREATE TABLE unrecorded (
  epoch INTEGER NOT NULL REFERENCES epoch (id),
  class TEXT NOT NULL,
  n INTEGER NOT NULL,
  PRIMARY KEY (epoch, class)
) WITHOUT ROWID;
