// Package trove is the JSON of OpenStack Trove's database API v1.0, as types and
// nothing else: what its clients send and what they expect back, field for field,
// in Trove's order of keys and with its rules about what is null and what is
// absent. It decides nothing and talks to nobody.
//
// Three habits of Trove show in the types. A time has no zone and no fraction
// ([Time]). A size in GiB is a float that always shows its point ([GiB]). A link
// that leads to the next page is absent, not empty, on the last one.
package trove
