-- Which comparisons were written, changed or removed last, in this order: who follows a verdict reads only what is new.
-- What is counted only stands after all of them. A short memory: who has missed some of it reads everything.
CREATE TABLE touched (
  turn INTEGER PRIMARY KEY,
  epoch INTEGER NOT NULL,
  comparison BLOB NOT NULL
);

CREATE TRIGGER touched_forgotten AFTER INSERT ON touched BEGIN
  DELETE FROM touched WHERE turn <= NEW.turn - 8192;
END;

CREATE TRIGGER touched_written AFTER INSERT ON comparison BEGIN
  INSERT INTO touched (epoch, comparison) VALUES (NEW.epoch, NEW.id);
END;

CREATE TRIGGER touched_changed AFTER UPDATE ON comparison BEGIN
  INSERT INTO touched (epoch, comparison) VALUES (NEW.epoch, NEW.id);
END;

CREATE TRIGGER touched_removed AFTER DELETE ON comparison BEGIN
  INSERT INTO touched (epoch, comparison) VALUES (OLD.epoch, OLD.id);
END;

CREATE TRIGGER touched_acknowledged AFTER INSERT ON acknowledgement BEGIN
  INSERT INTO touched (epoch, comparison) SELECT epoch, id FROM comparison WHERE id = NEW.comparison;
END;

CREATE TRIGGER touched_unrecorded_insert AFTER INSERT ON unrecorded BEGIN
  INSERT INTO touched (epoch, comparison) VALUES (NEW.epoch, x'ffffffffffffffffffffffffffffffff');
END;

CREATE TRIGGER touched_unrecorded_update AFTER UPDATE ON unrecorded BEGIN
  INSERT INTO touched (epoch, comparison) VALUES (NEW.epoch, x'ffffffffffffffffffffffffffffffff');
END;

CREATE TRIGGER touched_unrecorded_elsewhere_insert AFTER INSERT ON unrecorded_elsewhere BEGIN
  INSERT INTO touched (epoch, comparison) VALUES (NEW.epoch, x'ffffffffffffffffffffffffffffffff');
END;

CREATE TRIGGER touched_unrecorded_elsewhere_update AFTER UPDATE ON unrecorded_elsewhere BEGIN
  INSERT INTO touched (epoch, comparison) VALUES (NEW.epoch, x'ffffffffffffffffffffffffffffffff');
END;

-- What both sides said in one of the pairs, where its gateway has told.
ALTER TABLE finding_elsewhere ADD COLUMN example BLOB;
ALTER TABLE finding_elsewhere ADD COLUMN control TEXT;
ALTER TABLE finding_elsewhere ADD COLUMN candidate TEXT;
ALTER TABLE finding_elsewhere ADD COLUMN rule TEXT;
