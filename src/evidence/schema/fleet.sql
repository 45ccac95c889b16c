-- From now on the rest of the fleet is told, beginning with what there is.
INSERT OR IGNORE INTO untold
SELECT id, NULL FROM comparison WHERE due IS NULL AND direction IN ('shadow', 'reverse');

CREATE TRIGGER untold_ended AFTER INSERT ON comparison
WHEN NEW.due IS NULL AND NEW.direction IN ('shadow', 'reverse') BEGIN
  INSERT OR REPLACE INTO untold VALUES (NEW.id, NULL);
END;

CREATE TRIGGER untold_given_up AFTER UPDATE OF due ON comparison
WHEN NEW.due IS NULL AND NEW.direction IN ('shadow', 'reverse') BEGIN
  INSERT OR REPLACE INTO untold VALUES (NEW.id, NULL);
END;

CREATE TRIGGER untold_acknowledged AFTER INSERT ON acknowledgement BEGIN
  INSERT OR REPLACE INTO untold VALUES (NEW.comparison, NULL);
END;
