-- Previews are few among many: what they have cost is asked for every ten seconds, and is not to read all of a day.
CREATE INDEX comparison_of_preview ON comparison (id) WHERE direction = 'replay';
