package api_test

// differs are the recorded cases that are answered otherwise, and why.
var differs = func() map[string]string {
	out := map[string]string{}
	for why, names := range map[string][]string{
		"this version keeps no quotas of its own per project": {
			"quotas-own", "quotas-other-as-admin", "quotas-put-member", "quotas-put-admin", "quotas-put-admin-negative",
			"quotas-put-admin-unknown", "quotas-put-admin-null", "quotas-put-admin-string", "quotas-after-put",
			"quotas-after-creates", "quotas-full", "quotas-admin-after-admin-delete", "quotas-reset-admin",
		},
		"only backups are limited": {"limits-other-project", "limits-carol"},
		"an empty instance is not made; the test registers one": {
			"instance-create", "instance-create-2", "instance-create-pg", "instance-create-couchbase",
			"instance-create-vertica", "instance-create-bob", "instance-create-carol", "instance-bad-volume-big",
		},
		"no virtual network and no volume of our own: no network id, no use, no admin's ids, no fault": {
			"instance-show", "instance-show-admin", "instance-show-admin-same-project", "instances-list",
			"instances-list-limit", "instance-healthy-again", "instance-healthy-again-2", "restore-instance-show",
		},
		"a datastore version has no image here, none is inactive, and each product has a default": {
			"datastores-list-admin", "datastore-versions-admin", "datastore-version-by-id-admin",
			"datastore-version-inactive-member", "datastore-couchbase-no-default",
		},
		"the one flavor is the host": {"flavor-show"},
		"projects are walls: an admin's backup of a foreign instance belongs to the instance's project": {
			"backup-bad-instance-foreign-admin",
		},
		"a parent must be a usable backup of the same instance": {
			"backup-create-parent-of-other-instance", "backup-create-parent-of-other-datastore",
			"backup-create-parent-failed", "backup-create-parent-building",
		},
		"follows from a parent that was refused": {
			"backups-list-datastore-name", "backups-list-instance", "backup-delete-reader",
		},
		"the stand-in guest's health is not in the records": {"backup-bad-guest-status"},
		"an import is good once it was read: NEW, then COMPLETED, and never RESTORED unseen": {
			"backup-import", "backup-import-show", "backup-import-incremental-object",
		},
		"a restored server has the version of its host, which the row learns at the end": {"restore-other-version-same-datastore"},
		"a backup that others stand on is deleted only with force": {
			"backup-delete-parent-cascade", "backup-child-after-parent-delete", "restore-bad-deleted",
		},
	} {
		for _, n := range names {
			out[n] = why
		}
	}
	return out
}()
