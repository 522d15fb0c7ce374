package trovelink

import (
	"fmt"
	"strings"

	"github.com/cofferdb/coffer"
)

// Metadata that Trove's restore reads beside a backup.
const (
	metaLSN            = "lsn"
	metaParentLocation = "parent_location"
	metaParentChecksum = "parent_checksum"
	metaDatastore      = "datastore"
	metaVersion        = "datastore_version"
)

// objectName is a backup's name in its container.
func objectName(backup string) string { return backup + ".xbstream.gz" }

// location is where a backup is, as Trove keeps it.
func location(account, container, object string) string {
	return strings.TrimSuffix(account, "/") + "/" + container + "/" + object
}

// split takes a location apart, as Trove does: by its last two slashes.
func split(loc string) (account, container, object string, err error) {
	i := strings.LastIndexByte(loc, '/')
	j := -1
	if i > 0 {
		j = strings.LastIndexByte(loc[:i], '/')
	}
	if j <= 0 || i+1 == len(loc) || i == j+1 {
		return "", "", "", coffer.E(coffer.KindInvalid, "read a backup's location", "%.200q is none", loc)
	}
	return loc[:j], loc[j+1 : i], loc[i+1:], nil
}

// containerOf is where an order's backup goes.
func containerOf(info BackupInfo) string {
	if info.SwiftContainer != nil && *info.SwiftContainer != "" {
		return *info.SwiftContainer
	}
	return coffer.DefaultContainer
}

// partSize is the length of segment i: as the stream grows they do, so that one
// static large object of 1,000 holds 52 GiB.
func partSize(i int) int {
	switch {
	case i < 128:
		return 16 << 20
	case i < 256:
		return 32 << 20
	}
	return 64 << 20
}

// manifestName is a manifest that a manifest names; none begins as segments do.
func manifestName(backup string, i int) string { return fmt.Sprintf("%s.manifest_%08d", backup, i) }

// checkID refuses what cannot be a backup's id, since it becomes an object's name.
func checkID(id string) error {
	if !coffer.IsUUID(id) {
		return coffer.E(coffer.KindInvalid, "read the order of a backup", "%q is no backup's id", fmt.Sprintf("%.60s", id))
	}
	return nil
}
