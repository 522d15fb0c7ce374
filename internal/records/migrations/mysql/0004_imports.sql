-- Whose a backup's objects are: '' ours, 'trove' Trove's, which are read and never changed.
ALTER TABLE backups ADD COLUMN origin VARBINARY(255) NOT NULL DEFAULT '';

CREATE INDEX backups_origin ON backups (project, origin, id);

-- A project's own quota of backups; -2 is the configured one.
ALTER TABLE projects ADD COLUMN quota BIGINT NOT NULL DEFAULT -2;
