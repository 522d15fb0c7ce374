// Package mysql is the engine for MariaDB by its own tool, mariadb-backup, and for
// MySQL and Percona Server by Percona's. The dialects (of mariadb-backup, mariadb-dump,
// xtrabackup, innobackupex) are rows of one table; only the first two are ever run here.
//
// A backup runs through these hands:
//
//	server ◀── tool ──stdout──▶ spool ──▶ stream ──▶ sink
//	             │ stderr
//	           guard ──▶ log
//
// The guard keeps the tool from outliving us and from holding the database longer
// than agreed; while locks are held the spool takes the tail, so that a slow store
// cannot hold a commit. The stream reads along: it knows the files, checks every
// sum and rewrites the one line that the stock prepare insists on. The log is read
// for the ways in which the tool says "completed OK!" over a damaged backup.
//
// A backup is good only if all of these agree: the tool exited 0, it said its
// closing words, its log holds none of the known silent losses, the stream is
// whole, and the nonce of this backup is in the data folder.
//
// Lineage guards increments. Every backup leaves one nonce in an id file in the
// data folder's root, which the tool does not copy: a folder that was rolled back
// lacks it. And the first LSN in the server's own redo log tells a restored folder
// from the one it was taken from, even if somebody kept the id file. [Engine.Probe]
// refuses every increment whose parent is not this server's own past.
package mysql
