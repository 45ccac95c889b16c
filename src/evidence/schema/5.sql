-- Comparisons that have ended, or were acknowledged, and that the rest of the fleet has not been told; `batch` numbers
-- what they are told in. Filled by triggers that only a fleet makes.
CREATE TABLE untold (
  comparison BLOB PRIMARY KEY REFERENCES comparison (id) ON DELETE CASCADE,
  batch INTEGER
) WITHOUT ROWID;

-- How far each other data folder of the fleet has been heard.
CREATE TABLE heard (
  origin TEXT PRIMARY KEY,
  batch INTEGER NOT NULL
) WITHOUT ROWID;

-- What each of them counts beside its comparisons.
CREATE TABLE requests_elsewhere (
  epoch INTEGER NOT NULL REFERENCES epoch (id),
  origin TEXT NOT NULL,
  n INTEGER NOT NULL,
  PRIMARY KEY (epoch, origin)
) WITHOUT ROWID;

CREATE TABLE unrecorded_elsewhere (
  epoch INTEGER NOT NULL REFERENCES epoch (id),
  origin TEXT NOT NULL,
  class TEXT NOT NULL,
  n INTEGER NOT NULL,
  PRIMARY KEY (epoch, origin, class)
) WITHOUT ROWID;
