-- What the pairs of each other data folder of the fleet differ in, as it counts them itself: their differences stay there.
CREATE TABLE finding_elsewhere (
  epoch INTEGER NOT NULL REFERENCES epoch (id),
  origin TEXT NOT NULL,
  path TEXT NOT NULL,
  kind TEXT NOT NULL,
  severity INTEGER NOT NULL,
  pairs INTEGER NOT NULL,
  PRIMARY KEY (epoch, origin, path, kind)
) WITHOUT ROWID;
