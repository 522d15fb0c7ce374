package trovestore

import (
	"net/url"
	"strings"

	"github.com/cofferdb/coffer"
)

// maxLocation bounds a location, in bytes; Trove's column holds as many.
const maxLocation = 1024

// Location is where a backup lies: Trove's locationRef, cut as Trove cuts it.
type Location struct {
	Account   string // the account's address, no slash at its end
	Container string
	Object    string
}

// ParseLocation reads a locationRef: the last part is the object, the one before it
// the container, and the rest the account's address. Trove writes it unescaped.
func ParseLocation(raw string) (Location, error) {
	const op = "read the backup's location"
	bad := func(format string, args ...any) (Location, error) {
		return Location{}, coffer.E(coffer.KindInvalid, op, format, args...).
			WithHint("it looks like https://swift.example/v1/AUTH_project/container/ID.xbstream.gz")
	}
	if strings.HasPrefix(raw, "cinder://") {
		return Location{}, coffer.E(coffer.KindUnsupported, op, "%.80q is a snapshot of a volume", raw).
			WithHint("restore it with Trove, and take a backup of that instance")
	}
	if len(raw) > maxLocation || strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r == 0x7f || r == 0xfffd || r == '\\' }) {
		return bad("it has more than %d bytes, or a blank, backslash or broken character", maxLocation)
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return bad("%.200q is no address of an object", raw)
	}
	if strings.ContainsAny(raw, "?#") {
		return bad("%.200q has a query or a fragment", raw)
	}
	start := len(u.Scheme) + len("://") + len(u.Host)
	parts := strings.Split(strings.TrimPrefix(raw[start:], "/"), "/")
	for _, p := range parts {
		if p == "" || p == "." || p == ".." {
			return bad("%.200q has an empty or dotted part", raw)
		}
	}
	if len(parts) < 3 {
		return bad("%.200q does not name an account, a container and an object", raw)
	}
	n := len(parts)
	l := Location{Container: parts[n-2], Object: parts[n-1]}
	l.Account = strings.TrimSuffix(raw, "/"+l.Container+"/"+l.Object)
	return l, nil
}

// String is the locationRef.
func (l Location) String() string { return l.Account + "/" + l.Container + "/" + l.Object }

// Of reports whether the location's account is the project's: its name is the project's
// id, after the prefix that the site gives all accounts. A server that names accounts in
// another way, or not at all, has none that is known to be anybody's.
func (l Location) Of(p coffer.ProjectID) bool {
	account := l.AccountName()
	if i := strings.LastIndexByte(account, '_'); i >= 0 {
		account = account[i+1:]
	}
	return p != "" && account == string(p)
}

// AccountName is the last part of the account's address.
func (l Location) AccountName() string { return l.Account[strings.LastIndexByte(l.Account, '/')+1:] }

// form is what an object's name says of its bytes.
type form struct {
	encrypted, zipped bool
}

// formOf reads the suffixes of an object's name.
func formOf(object string) (f form, err error) {
	const op = "read the backup's name"
	id, rest, _ := strings.Cut(object, ".")
	rest, f.encrypted = strings.CutSuffix(rest, ".enc")
	rest, f.zipped = strings.CutSuffix(rest, ".gz")
	switch {
	case id == "":
		return f, coffer.E(coffer.KindInvalid, op, "%.80q begins with a dot", object)
	case rest != "xbstream":
		return f, coffer.E(coffer.KindUnsupported, op, "%.80q holds no xbstream", object).
			WithHint("backups that MariaBackup, XtraBackup or InnoBackupEx have made can be read: ID.xbstream, .xbstream.gz and .xbstream.gz.enc")
	}
	return f, nil
}

// ID is the backup's id in Trove, which the object is named by; "" if it is none.
func (l Location) ID() coffer.BackupID {
	id, _, _ := strings.Cut(l.Object, ".")
	if !coffer.IsUUID(id) {
		return ""
	}
	return coffer.BackupID(strings.ToLower(id))
}

// Check refuses, by its name alone, an object that this package cannot read.
func (l Location) Check() error {
	_, err := formOf(l.Object)
	return err
}
