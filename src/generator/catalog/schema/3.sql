-- Since when the monolith has refused the news of a job without a break.
ALTER TABLE jobs ADD COLUMN news_refused_ms INTEGER;

-- Whose a job is where the monolith has named no tenant: the hash of the route's subject.
ALTER TABLE jobs ADD COLUMN subject TEXT;
CREATE INDEX jobs_of_subject ON jobs (subject) WHERE subject IS NOT NULL;

-- Why there are no images, as the client was told it: JSON.
ALTER TABLE jobs ADD COLUMN cause TEXT;
