-- Times are Unix microseconds (0: not yet), booleans 0 or 1, documents JSON text.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE projects (
    id      TEXT PRIMARY KEY,
    backups INTEGER NOT NULL DEFAULT 0 CHECK (backups >= 0) -- not deleted; the quota counts them
);

CREATE TABLE agents (
    id       TEXT PRIMARY KEY,
    boot     TEXT NOT NULL,
    version  TEXT NOT NULL,
    host     INTEGER NOT NULL,
    data_dir TEXT NOT NULL,
    free     INTEGER NOT NULL,
    beat     INTEGER NOT NULL,
    seen     INTEGER NOT NULL
);

CREATE TABLE instances (
    id            TEXT PRIMARY KEY,
    project       TEXT NOT NULL,
    name          TEXT NOT NULL,
    kind          TEXT NOT NULL,
    agent         TEXT NOT NULL,
    ds_type       TEXT NOT NULL,
    ds_version    TEXT NOT NULL,
    ds_version_id TEXT NOT NULL,
    status        TEXT NOT NULL,
    conn          TEXT NOT NULL,
    volume_gib    INTEGER NOT NULL,
    key_id        TEXT NOT NULL,
    recipient     TEXT NOT NULL,
    running       TEXT NOT NULL DEFAULT '', -- the job that occupies it
    deleted       INTEGER NOT NULL DEFAULT 0,
    created       INTEGER NOT NULL,
    updated       INTEGER NOT NULL
);
CREATE INDEX instances_project ON instances (project, deleted, id);
CREATE INDEX instances_agent ON instances (agent, deleted, id);
CREATE INDEX instances_running ON instances (running);

CREATE TABLE backups (
    id            TEXT PRIMARY KEY,
    project       TEXT NOT NULL,
    instance      TEXT NOT NULL,
    name          TEXT NOT NULL,
    description   TEXT,
    state         TEXT NOT NULL,
    parent        TEXT NOT NULL DEFAULT '',
    root          TEXT NOT NULL,
    depth         INTEGER NOT NULL DEFAULT 0,
    type          TEXT NOT NULL,
    method        TEXT NOT NULL DEFAULT '',
    ds_type       TEXT NOT NULL,
    ds_version    TEXT NOT NULL,
    ds_version_id TEXT NOT NULL,
    store         TEXT NOT NULL,
    container     TEXT NOT NULL,
    location      TEXT NOT NULL DEFAULT '',
    checksum      TEXT NOT NULL DEFAULT '',
    manifest      TEXT NOT NULL DEFAULT '',
    key_id        TEXT NOT NULL DEFAULT '',
    pos           TEXT NOT NULL DEFAULT '',
    data_bytes    INTEGER NOT NULL DEFAULT 0,
    plain_bytes   INTEGER NOT NULL DEFAULT 0,
    stored_bytes  INTEGER NOT NULL DEFAULT 0,
    refs          INTEGER NOT NULL DEFAULT 0 CHECK (refs >= 0), -- children that hold it
    pins          INTEGER NOT NULL DEFAULT 0 CHECK (pins >= 0), -- restores and verifies that hold it
    holds         INTEGER NOT NULL DEFAULT 0, -- whether it is counted in its parent's refs
    dying         INTEGER NOT NULL DEFAULT 0,
    deleting      INTEGER NOT NULL DEFAULT 0,
    deleted       INTEGER NOT NULL DEFAULT 0,
    sweep         INTEGER NOT NULL DEFAULT 0, -- it failed, and something of it may be in the store
    verified_at   INTEGER NOT NULL DEFAULT 0,
    verified_ok   INTEGER NOT NULL DEFAULT 0,
    verified_text TEXT NOT NULL DEFAULT '',
    error         TEXT NOT NULL DEFAULT '',
    hint          TEXT NOT NULL DEFAULT '',
    created       INTEGER NOT NULL,
    updated       INTEGER NOT NULL,
    ended         INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX backups_project ON backups (project, deleted, updated DESC, id);
CREATE INDEX backups_all ON backups (deleted, updated DESC, id);
CREATE INDEX backups_instance ON backups (instance, deleted, updated DESC, id);
CREATE INDEX backups_newest ON backups (instance, state, ended DESC, id);
CREATE INDEX backups_parent ON backups (parent, deleted, id);
CREATE INDEX backups_sweep ON backups (sweep, id);

CREATE TABLE jobs (
    id       TEXT PRIMARY KEY,
    kind     TEXT NOT NULL,
    project  TEXT NOT NULL,
    instance TEXT NOT NULL,
    backup   TEXT NOT NULL,
    state    TEXT NOT NULL,
    runner   TEXT NOT NULL DEFAULT '',
    beat     INTEGER NOT NULL DEFAULT 0,
    seq      INTEGER NOT NULL DEFAULT 0,
    phase    TEXT NOT NULL DEFAULT '',
    progress TEXT NOT NULL DEFAULT '',
    cancel   INTEGER NOT NULL DEFAULT 0,
    lost     INTEGER NOT NULL DEFAULT 0,
    dying    INTEGER NOT NULL DEFAULT 0,
    err_kind TEXT NOT NULL DEFAULT '',
    error    TEXT NOT NULL DEFAULT '',
    hint     TEXT NOT NULL DEFAULT '',
    spec     TEXT NOT NULL DEFAULT '',
    manifest TEXT NOT NULL DEFAULT '', -- SHA-256, once the commit is granted
    events   INTEGER NOT NULL DEFAULT 0, -- the last event's id
    created  INTEGER NOT NULL,
    updated  INTEGER NOT NULL,
    ended    INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX jobs_state ON jobs (state, id);
CREATE INDEX jobs_backup ON jobs (backup, kind, state);
CREATE INDEX jobs_project ON jobs (project, created DESC, id);
CREATE INDEX jobs_instance ON jobs (instance, created DESC, id);
CREATE INDEX jobs_created ON jobs (created DESC, id);

CREATE TABLE events (
    job   TEXT NOT NULL,
    id    INTEGER NOT NULL,
    at    INTEGER NOT NULL,
    level TEXT NOT NULL,
    code  TEXT NOT NULL,
    body  TEXT NOT NULL,
    facts TEXT NOT NULL,
    PRIMARY KEY (job, id)
);

CREATE TABLE outbox (
    job TEXT PRIMARY KEY,
    due INTEGER NOT NULL
);
CREATE INDEX outbox_due ON outbox (due, job);

CREATE TABLE pins (
    job    TEXT NOT NULL,
    backup TEXT NOT NULL,
    PRIMARY KEY (job, backup)
);

CREATE TABLE idempotency (
    project  TEXT NOT NULL,
    idem_key TEXT NOT NULL,
    digest   TEXT NOT NULL,
    backup   TEXT NOT NULL,
    created  INTEGER NOT NULL,
    PRIMARY KEY (project, idem_key)
);

CREATE TABLE strategies (
    project   TEXT NOT NULL,
    instance  TEXT NOT NULL,
    backend   TEXT NOT NULL,
    container TEXT NOT NULL,
    PRIMARY KEY (project, instance)
);

CREATE TABLE places (
    project   TEXT NOT NULL,
    store     TEXT NOT NULL,
    container TEXT NOT NULL,
    PRIMARY KEY (project, store, container)
);

CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
);
