-- A data key's private half, wrapped for the operator's recipients. A rotation
-- adds a generation.
CREATE TABLE data_keys (
    id      VARBINARY(255) NOT NULL,
    gen     BIGINT NOT NULL,
    wrapped MEDIUMTEXT NOT NULL, -- base64 of an age file
    PRIMARY KEY (id, gen)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
