-- Comparisons that have ended and are not in the lake yet; `batch` names the files that they are being written to.
CREATE TABLE outbound (
  comparison BLOB PRIMARY KEY REFERENCES comparison (id) ON DELETE CASCADE,
  batch BLOB
) WITHOUT ROWID;

CREATE INDEX outbound_of_batch ON outbound (batch) WHERE batch IS NOT NULL;

INSERT INTO outbound SELECT id, NULL FROM comparison WHERE due IS NULL;

CREATE TRIGGER comparison_ended AFTER INSERT ON comparison WHEN NEW.due IS NULL BEGIN
  INSERT OR IGNORE INTO outbound VALUES (NEW.id, NULL);
END;

CREATE TRIGGER comparison_given_up AFTER UPDATE OF due ON comparison WHEN NEW.due IS NULL BEGIN
  INSERT OR IGNORE INTO outbound VALUES (NEW.id, NULL);
END;

CREATE INDEX comparison_not_ended ON comparison (due) WHERE due IS NOT NULL;

-- Whose evidence this is, among all that come together in a lake.
INSERT OR IGNORE INTO meta (key, value) VALUES ('origin', lower(hex(randomblob(8))));
