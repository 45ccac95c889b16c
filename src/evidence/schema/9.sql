-- What is left of pairs that have had their time. A verdict is of the whole epoch, however long that goes on: how many
-- there were of each class and stratum, and what they cost.
CREATE TABLE gone (
  epoch INTEGER NOT NULL REFERENCES epoch (id),
  class TEXT NOT NULL,
  stratum TEXT NOT NULL,
  n INTEGER NOT NULL,
  first_at INTEGER NOT NULL,
  last_at INTEGER NOT NULL,
  control_cost_usd REAL NOT NULL,
  candidate_cost_usd REAL NOT NULL,
  unpriced INTEGER NOT NULL,     -- of so many nobody knows what the candidate cost
  PRIMARY KEY (epoch, class, stratum)
) WITHOUT ROWID;

-- The control's first times, in microseconds and in their order: as many as fix its p95.
CREATE TABLE gone_control (
  epoch INTEGER NOT NULL REFERENCES epoch (id),
  place INTEGER NOT NULL,
  micros INTEGER NOT NULL,
  PRIMARY KEY (epoch, place)
) WITHOUT ROWID;

-- How many trials took the candidate about how long: `bucket` is a power of 1.01, in microseconds; -1 gave no answer.
CREATE TABLE gone_candidate (
  epoch INTEGER NOT NULL REFERENCES epoch (id),
  bucket INTEGER NOT NULL,
  n INTEGER NOT NULL,
  PRIMARY KEY (epoch, bucket)
) WITHOUT ROWID;

-- What proved an epoch UNSAFE, which it stays.
CREATE TABLE proof (
  epoch INTEGER PRIMARY KEY REFERENCES epoch (id),
  at INTEGER NOT NULL,
  limits TEXT NOT NULL,          -- what it was held against
  trials INTEGER,                -- the first so many: NULL where it was not their failures
  failures INTEGER,
  reasons TEXT NOT NULL          -- JSON
);
