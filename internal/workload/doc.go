// Package workload makes a database worth backing up, changes it while it is
// being backed up, and says afterwards whether a restore is right. The
// quickstart, the tests and the benchmarks share it.
//
// [Fill] makes a shop: InnoDB tables with secondary indexes and large values, a
// HASH and a RANGE partitioned one, an Aria and a MyISAM table, the same for the
// same seed.
//
// [Start] runs clients against it. Every transaction of worker w changes rows in
// several tables and inserts one row into the ledger table, in the same
// transaction; its number is the worker's next. Outside of the database a
// [Journal] notes when each transaction was begun and when its commit returned.
//
// [Check] is the oracle. It knows nothing of backups, only these truths about any
// single point in time of a database: the ledger's rows of a worker are 1…k
// without a gap; every effect of 1…k is there and no effect of k+1; what had
// returned before another transaction was begun cannot be missing while the
// other is there; what had returned before the backup began is there; what was
// begun after it ended is not.
package workload
