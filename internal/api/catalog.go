package api

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/trove"
)

// open answers what needs no token: the list of versions, and whether we live.
func (a *api) open(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/healthcheck":
		w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
		w.Write([]byte("OK")) // a client that went away needs no answer
	case r.Method != http.MethodGet:
		a.fail(w, r, errPuzzle())
	case !acceptsVersion(r.Header.Get("Accept")):
		a.fail(w, r, refusal(http.StatusNotAcceptable, trove.NotAcceptable, "version not supported"))
	default:
		self := a.base(request{Request: r}) + trovePrefix + "/"
		a.write(w, r, http.StatusOK, trove.Versions{Versions: []trove.Version{{
			ID: "v1.0", Status: "CURRENT", Updated: "2012-08-01T00:00:00Z",
			Links: []trove.NextLink{{Rel: "self", Href: self}},
		}}})
	}
}

// acceptsVersion reports whether the Accept header asks for no other version of
// Trove's API than the one there is.
func acceptsVersion(accept string) bool {
	_, after, found := strings.Cut(accept, "application/vnd.openstack.trove")
	if !found {
		return true
	}
	_, v, found := strings.Cut(after, ";version=")
	if !found {
		return true
	}
	end := strings.IndexFunc(v, func(c rune) bool { return c != '.' && (c < '0' || c > '9') })
	if end >= 0 {
		v = v[:end]
	}
	return v == "" || v == "1.0"
}

// nameUUID is the UUID that stands for a name, always the same one.
func nameUUID(parts ...string) string {
	sum := sha256.Sum256([]byte("coffer\x00" + strings.Join(parts, "\x00")))
	b := sum[:16]
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// versionID is the datastore version's id, as its maker gave it or by its name.
func versionID(d coffer.Datastore) string {
	if d.VersionID != "" {
		return d.VersionID
	}
	return nameUUID("version", d.Type, d.Version)
}

// datastores are the products of the configuration, each with its versions, of
// which the last is the default.
func (a *api) datastores(r request) []trove.DatastoreItem {
	var out []trove.DatastoreItem
	for _, d := range a.Datastores {
		i := slices.IndexFunc(out, func(x trove.DatastoreItem) bool { return x.Name == d.Type })
		if i < 0 {
			id := nameUUID("datastore", d.Type)
			out = append(out, trove.DatastoreItem{ID: id, Name: d.Type})
			i = len(out) - 1
			if r.Request != nil {
				out[i].Links = a.links(r, "datastores", id)
			}
		}
		v := trove.DatastoreVersion{ID: versionID(d), Name: d.Version, Version: d.Version}
		if r.Request != nil {
			v.Links = a.links(r, "datastores/versions", v.ID)
		}
		out[i].Versions, out[i].DefaultVersion = append(out[i].Versions, v), v.ID
	}
	return out
}

// datastore finds a product by id or name.
func (a *api) datastore(idOrName string) (trove.DatastoreItem, bool) {
	return findDatastore(a.datastores(request{}), idOrName)
}

func findDatastore(all []trove.DatastoreItem, idOrName string) (trove.DatastoreItem, bool) {
	for _, d := range all {
		if d.ID == idOrName || d.Name == idOrName {
			return d, true
		}
	}
	return trove.DatastoreItem{}, false
}

// version finds a datastore's version by its id.
func (a *api) version(id string) (coffer.Datastore, bool) {
	for _, d := range a.Datastores {
		if versionID(d) == id {
			return d, true
		}
	}
	return coffer.Datastore{}, false
}

func errNoDatastore(name string) error {
	return refusal(http.StatusNotFound, trove.ItemNotFound, "Datastore '"+name+"' cannot be found.")
}

func (a *api) datastoreList(r request) (reply, error) {
	return reply{http.StatusOK, trove.Datastores{Datastores: a.datastores(r)}}, nil
}

func (a *api) datastoreShow(r request) (reply, error) {
	d, ok := findDatastore(a.datastores(r), r.PathValue("datastore"))
	if !ok {
		return reply{}, errNoDatastore(r.PathValue("datastore"))
	}
	return reply{http.StatusOK, trove.DatastoreBody{Datastore: d}}, nil
}

// versionsUnder answers both …/datastores/{datastore}/versions and
// …/datastores/versions/{id}, which a router cannot tell apart.
func (a *api) versionsUnder(r request) (reply, error) {
	name, id := r.PathValue("datastore"), r.PathValue("version")
	switch {
	case name == "versions":
		return a.versionByID(r, id)
	case id == "versions":
		return a.versionList(r, name)
	}
	return reply{}, errNoRoute()
}

func (a *api) versionList(r request, name string) (reply, error) {
	d, ok := findDatastore(a.datastores(r), name)
	if !ok {
		return reply{}, errNoDatastore(name)
	}
	for i := range d.Versions {
		d.Versions[i].Datastore = d.ID
	}
	return reply{http.StatusOK, trove.DatastoreVersions{Versions: d.Versions}}, nil
}

func (a *api) versionByID(r request, id string) (reply, error) {
	for _, d := range a.datastores(r) {
		for _, v := range d.Versions {
			if v.ID == id {
				v.Datastore = d.ID
				return reply{http.StatusOK, trove.DatastoreVersionBody{Version: v}}, nil
			}
		}
	}
	return reply{}, coffer.E(coffer.KindInvalid, "", "Datastore version '%s' cannot be found.", id)
}

func (a *api) versionShow(r request) (reply, error) {
	name, id := r.PathValue("datastore"), r.PathValue("version")
	d, ok := findDatastore(a.datastores(r), name)
	if !ok {
		return reply{}, errNoDatastore(name)
	}
	for _, v := range d.Versions {
		if v.ID == id || v.Name == id {
			v.Datastore = d.ID
			return reply{http.StatusOK, trove.DatastoreVersionBody{Version: v}}, nil
		}
	}
	return reply{}, refusal(http.StatusNotFound, trove.ItemNotFound, "DBDatastoreVersion Not Found")
}

// flavorID is the one flavor: the machine that a host agent runs on. Trove's
// clients want one.
const flavorID = "1"

func (a *api) flavor(r request) trove.Flavor {
	return trove.Flavor{ID: 1, Links: a.links(r, "flavors", flavorID), Name: "host", VCPUs: 1, StrID: flavorID}
}

func (a *api) flavorList(r request) (reply, error) {
	return reply{http.StatusOK, trove.Flavors{Flavors: []trove.Flavor{a.flavor(r)}}}, nil
}

func (a *api) flavorShow(r request) (reply, error) {
	if id := r.PathValue("id"); id != flavorID {
		return reply{}, errNothing(id)
	}
	return reply{http.StatusOK, trove.FlavorBody{Flavor: a.flavor(r)}}, nil
}

// limitList are the quotas. Requests are not counted here, so the rates that
// clients expect to see are always whole.
func (a *api) limitList(r request) (reply, error) {
	const perMinute = 200
	quota, err := a.quota(r)
	if err != nil {
		return reply{}, err
	}
	out := trove.Limits{Limits: []any{trove.AbsoluteLimits{
		Verb: "ABSOLUTE", MaxBackups: quota, MaxInstances: -1, MaxRAM: -1, MaxVolumes: -1,
	}}}
	for _, l := range []struct{ verb, uri, regex string }{
		{"POST", "*", ".*"}, {"PUT", "*", ".*"}, {"DELETE", "*", ".*"}, {"GET", "*", ".*"}, {"POST", "*/mgmt", "^/mgmt"},
	} {
		out.Limits = append(out.Limits, trove.RateLimit{
			NextAvailable: a.Now().UTC().Format(time.RFC3339), Remaining: perMinute, Unit: "MINUTE", Value: perMinute,
			Verb: l.verb, URI: l.uri, Regex: l.regex,
		})
	}
	return reply{http.StatusOK, out}, nil
}

// flavorOf reads a flavorRef: an id, or an address that ends in one.
func flavorOf(v any) string {
	switch v := v.(type) {
	case string:
		return v[strings.LastIndexByte(v, '/')+1:]
	case interface{ Int64() (int64, error) }:
		n, err := v.Int64()
		if err == nil {
			return strconv.FormatInt(n, 10)
		}
	}
	return ""
}
