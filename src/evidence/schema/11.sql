-- Pairs of people who have been forgotten, by class. Which of them go is not chance, so they are counted after all others,
-- as those that were counted only: taken for the first, they could prove what the whole does not.
CREATE TABLE erased (
  epoch INTEGER NOT NULL REFERENCES epoch (id),
  class TEXT NOT NULL,
  n INTEGER NOT NULL,
  PRIMARY KEY (epoch, class)
) WITHOUT ROWID;

-- What was said of alarms whose pairs have gone: a lake has those pairs still.
CREATE TABLE acknowledgement_gone (
  comparison BLOB NOT NULL,
  kind TEXT NOT NULL,
  at INTEGER NOT NULL,
  who TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (comparison, kind)
) WITHOUT ROWID;
