-- Text is compared by its bytes. Times are Unix microseconds (0: not yet), booleans 0 or 1, documents JSON text.
CREATE TABLE meta (
    name  TEXT COLLATE "C" PRIMARY KEY,
    value TEXT COLLATE "C" NOT NULL
);

CREATE TABLE projects (
    id      TEXT COLLATE "C" PRIMARY KEY,
    backups BIGINT NOT NULL DEFAULT 0 CHECK (backups >= 0) -- not deleted; the quota counts them
);

CREATE TABLE agents (
    id       TEXT COLLATE "C" PRIMARY KEY,
    boot     TEXT COLLATE "C" NOT NULL,
    version  TEXT COLLATE "C" NOT NULL,
    host     BIGINT NOT NULL,
    data_dir TEXT COLLATE "C" NOT NULL,
    free     BIGINT NOT NULL,
    beat     BIGINT NOT NULL,
    seen     BIGINT NOT NULL
);

CREATE TABLE instances (
    id            TEXT COLLATE "C" PRIMARY KEY,
    project       TEXT COLLATE "C" NOT NULL,
    name          TEXT COLLATE "C" NOT NULL,
    kind          TEXT COLLATE "C" NOT NULL,
    agent         TEXT COLLATE "C" NOT NULL,
    ds_type       TEXT COLLATE "C" NOT NULL,
    ds_version    TEXT COLLATE "C" NOT NULL,
    ds_version_id TEXT COLLATE "C" NOT NULL,
    status        TEXT COLLATE "C" NOT NULL,
    conn          TEXT COLLATE "C" NOT NULL,
    volume_gib    BIGINT NOT NULL,
    key_id        TEXT COLLATE "C" NOT NULL,
    recipient     TEXT COLLATE "C" NOT NULL,
    running       TEXT COLLATE "C" NOT NULL DEFAULT '', -- the job that occupies it
    deleted       BIGINT NOT NULL DEFAULT 0,
    created       BIGINT NOT NULL,
    updated       BIGINT NOT NULL
);
CREATE INDEX instances_project ON instances (project, deleted, id);
CREATE INDEX instances_agent ON instances (agent, deleted, id);
CREATE INDEX instances_running ON instances (running);

CREATE TABLE backups (
    id            TEXT COLLATE "C" PRIMARY KEY,
    project       TEXT COLLATE "C" NOT NULL,
    instance      TEXT COLLATE "C" NOT NULL,
    name          TEXT COLLATE "C" NOT NULL,
    description   TEXT COLLATE "C",
    state         TEXT COLLATE "C" NOT NULL,
    parent        TEXT COLLATE "C" NOT NULL DEFAULT '',
    root          TEXT COLLATE "C" NOT NULL,
    depth         BIGINT NOT NULL DEFAULT 0,
    type          TEXT COLLATE "C" NOT NULL,
    method        TEXT COLLATE "C" NOT NULL DEFAULT '',
    ds_type       TEXT COLLATE "C" NOT NULL,
    ds_version    TEXT COLLATE "C" NOT NULL,
    ds_version_id TEXT COLLATE "C" NOT NULL,
    store         TEXT COLLATE "C" NOT NULL,
    container     TEXT COLLATE "C" NOT NULL,
    location      TEXT COLLATE "C" NOT NULL DEFAULT '',
    checksum      TEXT COLLATE "C" NOT NULL DEFAULT '',
    manifest      TEXT COLLATE "C" NOT NULL DEFAULT '',
    key_id        TEXT COLLATE "C" NOT NULL DEFAULT '',
    pos           TEXT COLLATE "C" NOT NULL DEFAULT '',
    data_bytes    BIGINT NOT NULL DEFAULT 0,
    plain_bytes   BIGINT NOT NULL DEFAULT 0,
    stored_bytes  BIGINT NOT NULL DEFAULT 0,
    refs          BIGINT NOT NULL DEFAULT 0 CHECK (refs >= 0), -- children that hold it
    pins          BIGINT NOT NULL DEFAULT 0 CHECK (pins >= 0), -- restores and verifies that hold it
    holds         BIGINT NOT NULL DEFAULT 0, -- whether it is counted in its parent's refs
    dying         BIGINT NOT NULL DEFAULT 0,
    deleting      BIGINT NOT NULL DEFAULT 0,
    deleted       BIGINT NOT NULL DEFAULT 0,
    sweep         BIGINT NOT NULL DEFAULT 0, -- it failed, and something of it may be in the store
    verified_at   BIGINT NOT NULL DEFAULT 0,
    verified_ok   BIGINT NOT NULL DEFAULT 0,
    verified_text TEXT COLLATE "C" NOT NULL DEFAULT '',
    error         TEXT COLLATE "C" NOT NULL DEFAULT '',
    hint          TEXT COLLATE "C" NOT NULL DEFAULT '',
    created       BIGINT NOT NULL,
    updated       BIGINT NOT NULL,
    ended         BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX backups_project ON backups (project, deleted, updated DESC, id);
CREATE INDEX backups_all ON backups (deleted, updated DESC, id);
CREATE INDEX backups_instance ON backups (instance, deleted, updated DESC, id);
CREATE INDEX backups_newest ON backups (instance, state, ended DESC, id);
CREATE INDEX backups_parent ON backups (parent, deleted, id);
CREATE INDEX backups_sweep ON backups (sweep, id);

CREATE TABLE jobs (
    id       TEXT COLLATE "C" PRIMARY KEY,
    kind     TEXT COLLATE "C" NOT NULL,
    project  TEXT COLLATE "C" NOT NULL,
    instance TEXT COLLATE "C" NOT NULL,
    backup   TEXT COLLATE "C" NOT NULL,
    state    TEXT COLLATE "C" NOT NULL,
    runner   TEXT COLLATE "C" NOT NULL DEFAULT '',
    beat     BIGINT NOT NULL DEFAULT 0,
    seq      BIGINT NOT NULL DEFAULT 0,
    phase    TEXT COLLATE "C" NOT NULL DEFAULT '',
    progress TEXT COLLATE "C" NOT NULL DEFAULT '',
    cancel   BIGINT NOT NULL DEFAULT 0,
    lost     BIGINT NOT NULL DEFAULT 0,
    dying    BIGINT NOT NULL DEFAULT 0,
    err_kind TEXT COLLATE "C" NOT NULL DEFAULT '',
    error    TEXT COLLATE "C" NOT NULL DEFAULT '',
    hint     TEXT COLLATE "C" NOT NULL DEFAULT '',
    spec     TEXT COLLATE "C" NOT NULL DEFAULT '',
    manifest TEXT COLLATE "C" NOT NULL DEFAULT '', -- SHA-256, once the commit is granted
    events   BIGINT NOT NULL DEFAULT 0, -- the last event's id
    created  BIGINT NOT NULL,
    updated  BIGINT NOT NULL,
    ended    BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX jobs_state ON jobs (state, id);
CREATE INDEX jobs_backup ON jobs (backup, kind, state);
CREATE INDEX jobs_project ON jobs (project, created DESC, id);
CREATE INDEX jobs_instance ON jobs (instance, created DESC, id);
CREATE INDEX jobs_created ON jobs (created DESC, id);

CREATE TABLE events (
    job   TEXT COLLATE "C" NOT NULL,
    id    BIGINT NOT NULL,
    at    BIGINT NOT NULL,
    level TEXT COLLATE "C" NOT NULL,
    code  TEXT COLLATE "C" NOT NULL,
    body  TEXT COLLATE "C" NOT NULL,
    facts TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (job, id)
);

CREATE TABLE outbox (
    job TEXT COLLATE "C" PRIMARY KEY,
    due BIGINT NOT NULL
);
CREATE INDEX outbox_due ON outbox (due, job);

CREATE TABLE pins (
    job    TEXT COLLATE "C" NOT NULL,
    backup TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (job, backup)
);

CREATE TABLE idempotency (
    project  TEXT COLLATE "C" NOT NULL,
    idem_key TEXT COLLATE "C" NOT NULL,
    digest   TEXT COLLATE "C" NOT NULL,
    backup   TEXT COLLATE "C" NOT NULL,
    created  BIGINT NOT NULL,
    PRIMARY KEY (project, idem_key)
);

CREATE TABLE strategies (
    project   TEXT COLLATE "C" NOT NULL,
    instance  TEXT COLLATE "C" NOT NULL,
    backend   TEXT COLLATE "C" NOT NULL,
    container TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (project, instance)
);

CREATE TABLE places (
    project   TEXT COLLATE "C" NOT NULL,
    store     TEXT COLLATE "C" NOT NULL,
    container TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (project, store, container)
);

CREATE TABLE counters (
    name  TEXT COLLATE "C" PRIMARY KEY,
    value BIGINT NOT NULL
);
