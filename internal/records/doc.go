// Package records keeps the metadata: backups, jobs, instances, agents and what
// binds them. It is one concrete type, [DB], over database/sql; no role ever sees
// SQL.
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
// Writes go through one queue: whatever waits when the disk is ready is carried
// out in one transaction, each write under a savepoint of its own, and one fsync
// makes all of them durable. A write whose caller gave up before it began is
// skipped; one that has begun is always waited for, so an answer is never
// "maybe".
//
// The SQL is portable on purpose: no RETURNING, no upsert, no locking reads.
// Times are Unix microseconds, booleans are 0 and 1, documents are JSON text.
package records
