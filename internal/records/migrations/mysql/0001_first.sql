-- Names and keys are compared by their bytes (VARBINARY: no collation makes two of
-- them equal). Times are Unix microseconds (0: not yet), booleans 0 or 1, documents JSON text.
CREATE TABLE meta (
    name  VARBINARY(255) PRIMARY KEY,
    value TEXT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE projects (
    id      VARBINARY(255) PRIMARY KEY,
    backups BIGINT NOT NULL DEFAULT 0 CHECK (backups >= 0) -- not deleted; the quota counts them
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE agents (
    id       VARBINARY(255) PRIMARY KEY,
    boot     VARBINARY(255) NOT NULL,
    version  VARBINARY(255) NOT NULL,
    host     BIGINT NOT NULL,
    data_dir TEXT NOT NULL,
    free     BIGINT NOT NULL,
    beat     BIGINT NOT NULL,
    seen     BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE instances (
    id            VARBINARY(255) PRIMARY KEY,
    project       VARBINARY(255) NOT NULL,
    name          TEXT NOT NULL,
    kind          VARBINARY(255) NOT NULL,
    agent         VARBINARY(255) NOT NULL,
    ds_type       VARBINARY(255) NOT NULL,
    ds_version    VARBINARY(255) NOT NULL,
    ds_version_id VARBINARY(255) NOT NULL,
    status        VARBINARY(255) NOT NULL,
    conn          MEDIUMTEXT NOT NULL,
    volume_gib    BIGINT NOT NULL,
    key_id        VARBINARY(255) NOT NULL,
    recipient     TEXT NOT NULL,
    running       VARBINARY(255) NOT NULL DEFAULT '', -- the job that occupies it
    deleted       BIGINT NOT NULL DEFAULT 0,
    created       BIGINT NOT NULL,
    updated       BIGINT NOT NULL,
    KEY instances_project (project, deleted, id),
    KEY instances_agent (agent, deleted, id),
    KEY instances_running (running)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE backups (
    id            VARBINARY(255) PRIMARY KEY,
    project       VARBINARY(255) NOT NULL,
    instance      VARBINARY(255) NOT NULL,
    name          TEXT NOT NULL,
    description   TEXT,
    state         VARBINARY(255) NOT NULL,
    parent        VARBINARY(255) NOT NULL DEFAULT '',
    root          VARBINARY(255) NOT NULL,
    depth         BIGINT NOT NULL DEFAULT 0,
    type          VARBINARY(255) NOT NULL,
    method        VARBINARY(255) NOT NULL DEFAULT '',
    ds_type       VARBINARY(255) NOT NULL,
    ds_version    VARBINARY(255) NOT NULL,
    ds_version_id VARBINARY(255) NOT NULL,
    store         VARBINARY(255) NOT NULL,
    container     VARBINARY(255) NOT NULL,
    location      TEXT NOT NULL DEFAULT (''),
    checksum      VARBINARY(255) NOT NULL DEFAULT '',
    manifest      VARBINARY(255) NOT NULL DEFAULT '',
    key_id        VARBINARY(255) NOT NULL DEFAULT '',
    pos           MEDIUMTEXT NOT NULL DEFAULT (''),
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
    verified_text TEXT NOT NULL DEFAULT (''),
    error         TEXT NOT NULL DEFAULT (''),
    hint          TEXT NOT NULL DEFAULT (''),
    created       BIGINT NOT NULL,
    updated       BIGINT NOT NULL,
    ended         BIGINT NOT NULL DEFAULT 0,
    KEY backups_project (project, deleted, updated DESC, id),
    KEY backups_all (deleted, updated DESC, id),
    KEY backups_instance (instance, deleted, updated DESC, id),
    KEY backups_newest (instance, state, ended DESC, id),
    KEY backups_parent (parent, deleted, id),
    KEY backups_sweep (sweep, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE jobs (
    id       VARBINARY(255) PRIMARY KEY,
    kind     VARBINARY(255) NOT NULL,
    project  VARBINARY(255) NOT NULL,
    instance VARBINARY(255) NOT NULL,
    backup   VARBINARY(255) NOT NULL,
    state    VARBINARY(255) NOT NULL,
    runner   VARBINARY(255) NOT NULL DEFAULT '',
    beat     BIGINT NOT NULL DEFAULT 0,
    seq      BIGINT NOT NULL DEFAULT 0,
    phase    TEXT NOT NULL DEFAULT (''),
    progress MEDIUMTEXT NOT NULL DEFAULT (''),
    cancel   BIGINT NOT NULL DEFAULT 0,
    lost     BIGINT NOT NULL DEFAULT 0,
    dying    BIGINT NOT NULL DEFAULT 0,
    err_kind VARBINARY(255) NOT NULL DEFAULT '',
    error    TEXT NOT NULL DEFAULT (''),
    hint     TEXT NOT NULL DEFAULT (''),
    spec     MEDIUMTEXT NOT NULL DEFAULT (''),
    manifest VARBINARY(255) NOT NULL DEFAULT '', -- SHA-256, once the commit is granted
    events   BIGINT NOT NULL DEFAULT 0, -- the last event's id
    created  BIGINT NOT NULL,
    updated  BIGINT NOT NULL,
    ended    BIGINT NOT NULL DEFAULT 0,
    KEY jobs_state (state, id),
    KEY jobs_backup (backup, kind, state),
    KEY jobs_project (project, created DESC, id),
    KEY jobs_instance (instance, created DESC, id),
    KEY jobs_created (created DESC, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE events (
    job   VARBINARY(255) NOT NULL,
    id    BIGINT NOT NULL,
    at    BIGINT NOT NULL,
    level VARBINARY(255) NOT NULL,
    code  VARBINARY(255) NOT NULL,
    body  MEDIUMTEXT NOT NULL,
    facts MEDIUMTEXT NOT NULL,
    PRIMARY KEY (job, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE outbox (
    job VARBINARY(255) PRIMARY KEY,
    due BIGINT NOT NULL,
    KEY outbox_due (due, job)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE pins (
    job    VARBINARY(255) NOT NULL,
    backup VARBINARY(255) NOT NULL,
    PRIMARY KEY (job, backup)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE idempotency (
    project  VARBINARY(255) NOT NULL,
    idem_key VARBINARY(255) NOT NULL,
    digest   VARBINARY(255) NOT NULL,
    backup   VARBINARY(255) NOT NULL,
    created  BIGINT NOT NULL,
    PRIMARY KEY (project, idem_key)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE strategies (
    project   VARBINARY(255) NOT NULL,
    instance  VARBINARY(255) NOT NULL,
    backend   VARBINARY(255) NOT NULL,
    container VARBINARY(255) NOT NULL,
    PRIMARY KEY (project, instance)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE places (
    project   VARBINARY(255) NOT NULL,
    store     VARBINARY(255) NOT NULL,
    container VARBINARY(255) NOT NULL,
    PRIMARY KEY (project, store, container)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE counters (
    name  VARBINARY(255) PRIMARY KEY,
    value BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
