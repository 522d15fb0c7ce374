// Package trovedb takes over what a database of OpenStack's Trove knows: backups, the
// strategies that choose their containers, and quotas. It only reads that database.
//
// A backup is never believed: each that can be taken becomes an import, which reads the
// object to its end before the backup is good. So taking over can be repeated: what is
// there is left as it is, what has failed is tried again, and whatever cannot be taken is
// listed with the reason.
//
//	Open ─▶ Read ─▶ Judge ─▶ Take
//
// Trove's own record of a parent counts where an object has lost its metadata; where both
// speak, the import compares them.
package trovedb
