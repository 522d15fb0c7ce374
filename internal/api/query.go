package api

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/trove"
)

// The sizes of pages when none is asked for: Trove's.
const (
	backupsPage   = 20
	instancesPage = 20
	jobsPage      = 50
)

// last is the value of a query's key; of several the last counts.
func last(q url.Values, key string) string {
	if v := q[key]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

// truthy reads a boolean the way OpenStack does; what it does not know is false.
func truthy(s string) bool {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "1", "t", "true", "on", "y", "yes":
		return true
	}
	return false
}

// window is an offset and a limit of a page of backups, as Trove reads them: what
// is no whole number, or negative, it cannot answer.
func window(q url.Values) (offset, limit int, err error) {
	limit = backupsPage
	for key, into := range map[string]*int{"marker": &offset, "limit": &limit} {
		s := last(q, key)
		if s == "" {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || n < 0 {
			return 0, 0, errPuzzle()
		}
		*into = n
	}
	return offset, min(limit, records.MaxPage), nil
}

// nextLink is the link to the page after this one: the same address with another
// marker, always with https, the query's keys in their order.
func (a *api) nextLink(r request, marker string) []trove.NextLink {
	var keys []string
	vals := map[string]string{}
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		k, v, _ := strings.Cut(pair, "=")
		k, kerr := url.QueryUnescape(k)
		v, verr := url.QueryUnescape(v)
		if kerr != nil || verr != nil || v == "" {
			continue
		}
		if _, seen := vals[k]; !seen {
			keys = append(keys, k)
		}
		vals[k] = v
	}
	if _, seen := vals["marker"]; !seen {
		keys = append(keys, "marker")
	}
	vals["marker"] = marker
	var parts []string
	for _, k := range keys {
		parts = append(parts, url.QueryEscape(k)+"="+url.QueryEscape(vals[k]))
	}
	return []trove.NextLink{{Rel: "next", Href: a.secureBase(r) + r.URL.EscapedPath() + "?" + strings.Join(parts, "&")}}
}

// base is the address that the client used, without a slash at its end.
func (a *api) base(r request) string {
	if a.BaseURL != "" {
		return strings.TrimSuffix(a.BaseURL, "/")
	}
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// secureBase is base with https: Trove's links always say so.
func (a *api) secureBase(r request) string {
	_, rest, _ := strings.Cut(a.base(r), "://")
	return "https://" + rest
}

// links are the two links of a resource.
func (a *api) links(r request, path, id string) []trove.Link {
	base := a.secureBase(r)
	return []trove.Link{
		{Href: base + trovePrefix + "/" + string(r.project()) + "/" + path + "/" + id, Rel: "self"},
		{Href: base + "/" + path + "/" + id, Rel: "bookmark"},
	}
}
