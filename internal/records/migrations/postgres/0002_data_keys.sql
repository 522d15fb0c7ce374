-- A data key's private half, wrapped for the operator's recipients. A rotation
-- adds a generation.
CREATE TABLE data_keys (
    id      TEXT COLLATE "C" NOT NULL,
    gen     BIGINT NOT NULL,
    wrapped TEXT COLLATE "C" NOT NULL, -- base64 of an age file
    PRIMARY KEY (id, gen)
);
