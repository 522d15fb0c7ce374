// Package records keeps the metadata: backups, jobs, instances, agents and what
// binds them. It is one concrete type, [DB], over database/sql; no role ever sees
// SQL. They lie in a SQLite file, for one machine, or in PostgreSQL, MySQL or
// MariaDB, for any number of processes ([OpenSource]).
//
// Three rules carry everything else:
//
//   - The row is the work. A job exists when the transaction that made it has
//     committed; its bell (the outbox row) is in the same transaction and is rung
//     until the job's effect, a runner, is in the row.
//   - Every move is one conditional UPDATE whose condition is the whole rule: who
//     may move what, from where. Whether a row changed is the answer. A move that
//     is asked again gives the same answer, because messages are repeated.
//   - Counts instead of searches. A child's create raises its parent's refs, a
//     restore or verify pins its chain, an instance holds the one job that
//     occupies it, a project counts its backups. So no decision depends on a row
//     that another transaction is about to insert.
//
// To SQLite one process writes at a time, through one queue: whatever waits when
// the disk is ready is carried out in one transaction, each write under a savepoint
// of its own, and one fsync makes all of them durable. On a server each write is a
// transaction of its own and many run at once. They read what is committed, and a
// statement that waited for a row sees it as it is then: the conditions rest on
// that. A transaction that decides by what it reads, rather than by one condition,
// takes the row first. One that gave way to another, be it as late as COMMIT, has
// left nothing and is run again as a whole.
//
// A write whose caller gave up before it began is skipped; one that has begun is
// always waited for. So an answer is never "maybe", but for one case: a connection
// to a server that broke during COMMIT is KindUnknown. Moves can be asked again
// after it, and so can a create with an Idempotency-Key.
//
// Statements that do not wait for what Go makes of each other's answers go together
// (a bundle): to PostgreSQL in one round trip, and what needs no decision in
// between is a transaction by the protocol's own rule, elsewhere one after another.
// Since nothing can be taken back between two of them, each statement behind a
// conditional one says that condition itself.
//
// The SQL is one portable text on purpose: no RETURNING, no upsert, no SKIP LOCKED.
// What differs is in dialect and in the folders of migrations. Times are Unix
// microseconds, booleans are 0 and 1, documents are JSON text.
package records
