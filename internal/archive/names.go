package archive

import (
	"fmt"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/codec"
	"github.com/cofferdb/coffer/internal/store"
)

// Place is where archives lie: a store and what comes before every name, either
// "" or "<project>/<container>/".
type Place struct {
	Store  store.Full
	Prefix string
}

const (
	idLength   = 36 // of a UUID
	maxVolumes = 99 // two digits in a name
)

// The suffixes of the small objects of a backup.
const (
	intentSuffix    = ".intent.json"
	manifestSuffix  = ".manifest.json"
	tombstoneSuffix = ".dead.json"
	indexSuffix     = ".index"
	ageSuffix       = ".age"
)

// IntentName is the name of id's intent, without a place's prefix.
func IntentName(id coffer.BackupID) string { return string(id) + intentSuffix }

// ManifestName is the name of id's commit record, without a place's prefix.
func ManifestName(id coffer.BackupID) string { return string(id) + manifestSuffix }

// TombstoneName is the name of the object that says id is dead, without a
// place's prefix.
func TombstoneName(id coffer.BackupID) string { return string(id) + tombstoneSuffix }

// IndexName is the name of id's index, without a place's prefix.
func IndexName(id coffer.BackupID, encrypted bool) string {
	if encrypted {
		return string(id) + indexSuffix + ageSuffix
	}
	return string(id) + indexSuffix
}

// VolumeName is the name of volume i (from 0) of id's data, without a place's
// prefix: <b>.xbstream.zst, then <b>.v02.xbstream.zst and so on, with .age behind
// where the data is encrypted.
func VolumeName(id coffer.BackupID, i int, stream string, c codec.Compression, encrypted bool) string {
	name := string(id)
	if i > 0 {
		name += fmt.Sprintf(".v%02d", i+1)
	}
	name += "." + stream + c.Ext()
	if encrypted {
		name += ageSuffix
	}
	return name
}

func (p Place) at(name string) string { return p.Prefix + name }

// checkID refuses an id that could make a name of another backup.
func checkID(op string, id coffer.BackupID) error {
	if !isID(string(id)) {
		return coffer.E(coffer.KindInvalid, op, "%q is no backup id", id)
	}
	return nil
}

// isID reports whether s is a UUID in lower case, as all our names have it.
func isID(s string) bool { return coffer.IsUUID(s) && strings.ToLower(s) == s }

// ownerOf splits an object's name, prefix removed, into the backup id that it
// begins with and the rest; ok is false where the name is none of an archive's.
func ownerOf(name string) (id coffer.BackupID, rest string, ok bool) {
	if len(name) <= idLength || !isID(name[:idLength]) {
		return "", "", false
	}
	rest = name[idLength:]
	if rest[0] != '.' && rest[0] != '_' || strings.Contains(rest, "/") {
		return "", "", false
	}
	return coffer.BackupID(name[:idLength]), rest, true
}
