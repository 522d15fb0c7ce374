-- A data key's private half, wrapped for the operator's recipients. A rotation
-- adds a generation.
CREATE TABLE data_keys (
    id      TEXT NOT NULL,
    gen     INTEGER NOT NULL,
    wrapped TEXT NOT NULL, -- base64 of an age file
    PRIMARY KEY (id, gen)
);
