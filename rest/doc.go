// Package rest is the JSON of Coffer's own resources, which lie under
// /coffer/v1/{project}/ beside Trove's API: jobs and their events, plans, the
// registration of instances, and what Trove has no words for about a backup.
// Types and nothing else; times are RFC 3339 in UTC, sizes are bytes.
package rest
