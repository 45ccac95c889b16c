-- What is known of an image since it is told from noise.
ALTER TABLE image ADD COLUMN alpha INTEGER NOT NULL DEFAULT 0;
ALTER TABLE image ADD COLUMN orientation TEXT NOT NULL DEFAULT '';
ALTER TABLE image ADD COLUMN correlation REAL NOT NULL DEFAULT 1;
ALTER TABLE image ADD COLUMN difference_hash INTEGER;

-- Previews and repeats of the control are not counted: a report has to tell them by the index alone.
DROP INDEX comparison_of_epoch;
CREATE INDEX comparison_of_epoch ON comparison (
  epoch, id, at, due, direction, class, stratum, subject, control_total, candidate_total, control_cost_usd,
  candidate_cost_usd, gateway
);

-- How many pairs of an epoch each rule spoke of, by the rule's path.
CREATE TABLE rule_use (
  epoch INTEGER NOT NULL REFERENCES epoch (id),
  rule TEXT NOT NULL,
  pairs INTEGER NOT NULL,
  PRIMARY KEY (epoch, rule)
) WITHOUT ROWID;
