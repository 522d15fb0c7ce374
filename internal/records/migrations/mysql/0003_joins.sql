-- One-time tokens by which an agent joins. Only a token's hash is kept.
CREATE TABLE joins (
    token_hash VARBINARY(255) PRIMARY KEY,
    project    VARBINARY(255) NOT NULL,
    instance   VARBINARY(255) NOT NULL,
    created    BIGINT NOT NULL,
    expires    BIGINT NOT NULL,
    used       BIGINT NOT NULL DEFAULT 0, -- when it was redeemed
    agent      VARBINARY(255) NOT NULL DEFAULT '', -- by whom
    KEY joins_expires (expires, token_hash)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- What grows for ever is pruned by its age.
CREATE INDEX jobs_ended ON jobs (ended, id);

CREATE INDEX idempotency_created ON idempotency (created, project, idem_key);
