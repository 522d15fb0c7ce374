package engine

import "github.com/cofferdb/coffer"

// Method is the kind of tool that makes a backup.
type Method = coffer.Method

// The methods.
const (
	MariaBackup  = coffer.MariaBackup
	InnoBackupEx = coffer.InnoBackupEx
	XtraBackup   = coffer.XtraBackup
	MySQLDump    = coffer.MySQLDump
)
