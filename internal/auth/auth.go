// Package auth says who is calling and what they may do. An Authenticator turns
// a request into a Caller, and every query of the records takes the caller's
// project: a project is a wall, and this is its door.
//
// Static knows the callers from a file of tokens; Local makes such a file, with
// one caller in it, for a server that one person runs on one machine.
package auth

import (
	"context"
	"net/http"
	"strings"

	"github.com/cofferdb/coffer"
)

// AdminRole is the role whose holder may look across projects.
const AdminRole = "admin"

// Caller is who sent a request.
type Caller struct {
	Project coffer.ProjectID
	User    string
	Roles   []string
	Admin   bool
}

// Authenticator finds out who sent a request. An unknown caller is
// KindUnauthorized; a source of truth that does not answer is KindUnavailable.
type Authenticator interface {
	Authenticate(ctx context.Context, r *http.Request) (Caller, error)
}

// Token is the token that a request carries: X-Auth-Token, or a bearer's.
func Token(r *http.Request) string {
	if t := r.Header.Get("X-Auth-Token"); t != "" {
		return t
	}
	if t, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return t
	}
	return ""
}

// isAdmin reports whether roles hold the admin's, in any case.
func isAdmin(roles []string) bool {
	for _, r := range roles {
		if strings.EqualFold(r, AdminRole) {
			return true
		}
	}
	return false
}
