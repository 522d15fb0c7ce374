package amqp

import (
	"context"
	"encoding/json"
	"maps"

	"github.com/cofferdb/coffer"
)

// contextOf makes the context of one message: every key that a Python server's
// context class reads, and over it what the caller's Stamp says. Both "tenant"
// (before Ocata) and "project_id" (since) are always there, as are the two names
// of the user.
func contextOf(stamp map[string]any) (map[string]json.RawMessage, error) {
	if len(stamp) == 0 {
		return nobody(), nil
	}
	all := map[string]any{
		"user": nil, "user_id": nil, "tenant": nil, "project_id": nil, "system_scope": nil, "project": nil, "domain": nil,
		"user_domain": nil, "project_domain": nil, "is_admin": false, "is_admin_project": true, "read_only": false,
		"show_deleted": false, "auth_token": nil, "request_id": "req-" + coffer.NewUUID(), "global_request_id": nil,
		"resource_uuid": nil, "roles": []string{}, "user_identity": "- - - - -", "limit": nil, "marker": nil,
		"service_catalog": []any{},
	}
	maps.Copy(all, stamp)
	same(all, stamp, "tenant", "project_id")
	same(all, stamp, "user", "user_id")
	out := make(map[string]json.RawMessage, len(all))
	for k, v := range all {
		raw, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		out[k] = raw
	}
	return out, nil
}

// nobody is the context of a message that is stamped with nothing, as contextOf would
// make it.
func nobody() map[string]json.RawMessage {
	null, no, list := json.RawMessage("null"), json.RawMessage("false"), json.RawMessage("[]")
	return map[string]json.RawMessage{
		"user": null, "user_id": null, "tenant": null, "project_id": null, "system_scope": null, "project": null, "domain": null,
		"user_domain": null, "project_domain": null, "is_admin": no, "is_admin_project": json.RawMessage("true"), "read_only": no,
		"show_deleted": no, "auth_token": null, "request_id": mustJSON("req-" + coffer.NewUUID()), "global_request_id": null,
		"resource_uuid": null, "roles": list, "user_identity": json.RawMessage(`"- - - - -"`), "limit": null, "marker": null,
		"service_catalog": list,
	}
}

// same gives both names of one value what the stamp says under either.
func same(all, stamp map[string]any, a, b string) {
	va, oka := stamp[a]
	vb, okb := stamp[b]
	switch {
	case oka && !okb:
		all[b] = va
	case okb && !oka:
		all[a] = vb
	}
}

type contextKey struct{}

// ContextOf is the context that came with the message that is being handled, in
// clear and by its oslo names; nil outside a handler of this bus.
func ContextOf(ctx context.Context) map[string]json.RawMessage {
	m, _ := ctx.Value(contextKey{}).(map[string]json.RawMessage)
	return m
}
