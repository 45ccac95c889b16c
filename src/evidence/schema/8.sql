-- What a preview differs in was never counted: when it goes, nothing is to be taken back. Nor were the differences of
-- previews to be counted where they came without a batch.
DROP TRIGGER finding_forgotten;

CREATE TRIGGER finding_forgotten BEFORE DELETE ON comparison WHEN OLD.direction IN ('shadow', 'reverse') BEGIN
  UPDATE finding SET pairs = pairs - 1
  WHERE epoch = OLD.epoch AND (path, kind) IN (SELECT path, kind FROM difference WHERE comparison = OLD.id);
  DELETE FROM finding WHERE epoch = OLD.epoch AND pairs <= 0;
END;

DELETE FROM finding;
