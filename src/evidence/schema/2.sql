-- For an operator who looks for the few that failed among the many that did not.
CREATE INDEX comparison_of_class ON comparison (class, id);

-- Each path and kind of difference of an epoch, counted while it is written: a report must not count a million of them
-- again. A pair counts once, as the worst that it holds: 0 info, 1 expected, 2 failure.
CREATE TABLE finding (
  epoch INTEGER NOT NULL REFERENCES epoch (id),
  path TEXT NOT NULL,
  kind TEXT NOT NULL,
  severity INTEGER NOT NULL,
  pairs INTEGER NOT NULL,
  first BLOB NOT NULL,           -- comparisons that show it
  last BLOB NOT NULL,
  PRIMARY KEY (epoch, path, kind)
) WITHOUT ROWID;

CREATE TRIGGER finding_forgotten BEFORE DELETE ON comparison BEGIN
  UPDATE finding SET pairs = pairs - 1
  WHERE epoch = OLD.epoch AND (path, kind) IN (SELECT path, kind FROM difference WHERE comparison = OLD.id);
  DELETE FROM finding WHERE epoch = OLD.epoch AND pairs <= 0;
END;

-- What people said of alarms, and of pairs. Neither changes what was counted.
CREATE TABLE acknowledgement (
  comparison BLOB NOT NULL,
  kind TEXT NOT NULL,
  at INTEGER NOT NULL,
  who TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (comparison, kind),
  FOREIGN KEY (comparison, kind) REFERENCES alarm (comparison, kind) ON DELETE CASCADE
) WITHOUT ROWID;

CREATE TABLE label (
  comparison BLOB PRIMARY KEY REFERENCES comparison (id) ON DELETE CASCADE,
  label TEXT NOT NULL,
  at INTEGER NOT NULL,
  who TEXT NOT NULL
) WITHOUT ROWID;
