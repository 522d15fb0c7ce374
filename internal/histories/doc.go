// Package histories is tests only: it plays seeded histories on a real MariaDB, takes
// chains of backups in their midst, restores every link, and holds what comes back
// against what was noted outside of the database.
//
// A history has two kinds of actors. The clients of package workload keep a shop
// busy; their journal says what any single moment of it must hold. Beside them one
// actor plays steps that a seed has drawn: rows of tables of every row format, and
// all that DDL can do to names and tablespaces (swaps, new tables under old names,
// rebuilds, other engines, dropped databases, imported tablespaces). It is alone on
// its tables, and after each step notes their checksums and definitions; each step
// leaves its number in a table, in the same transaction where there is one. So a
// restored database says which step it stands at, and every table must be as it was
// noted then. (A step that is DDL may show before its number does.)
//
// Backups are taken while both act; their stream is let through bit by bit, so that
// steps fall into the run. A backup may be refused: then a full is taken. It may never
// restore to anything but the truth, in neither of the two ways, and a chain that has
// been accepted must restore merged.
//
// COFFER_SEED replays one seed: the same steps in the same order. When they meet a
// backup is the machine's affair.
package histories
