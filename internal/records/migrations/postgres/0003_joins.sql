-- One-time tokens by which an agent joins. Only a token's hash is kept.
CREATE TABLE joins (
    token_hash TEXT COLLATE "C" PRIMARY KEY,
    project    TEXT COLLATE "C" NOT NULL,
    instance   TEXT COLLATE "C" NOT NULL,
    created    BIGINT NOT NULL,
    expires    BIGINT NOT NULL,
    used       BIGINT NOT NULL DEFAULT 0, -- when it was redeemed
    agent      TEXT COLLATE "C" NOT NULL DEFAULT ''    -- by whom
);
CREATE INDEX joins_expires ON joins (expires, token_hash);

-- What grows for ever is pruned by its age.
CREATE INDEX jobs_ended ON jobs (ended, id);
CREATE INDEX idempotency_created ON idempotency (created, project, idem_key);
