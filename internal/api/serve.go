package api

import (
	"context"
	"errors"
	"net/http"
	"path"
	"runtime/debug"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/auth"
	"github.com/cofferdb/coffer/rest"
)

// The prefixes of the two interfaces.
const (
	trovePrefix = "/v1.0"
	ownPrefix   = "/coffer/v1"
)

// request is what a handler gets.
type request struct {
	*http.Request
	caller auth.Caller
}

// project is the wall that every query stays behind.
func (r request) project() coffer.ProjectID { return r.caller.Project }

// reply is what a handler gives: a status and a body, nil for none.
type reply struct {
	status int
	body   any
}

type handler func(*api, request) (reply, error)

type callerKey struct{}

// serve takes a request through the stations that all share.
func (a *api) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Openstack-Request-Id", a.NewRequestID())
	defer a.recover(w, r)
	r.Body = http.MaxBytesReader(w, r.Body, maxBody+1)
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusOK)
		return
	}
	if r.URL.Path == "/" || r.URL.Path == "/healthcheck" {
		a.open(w, r)
		return
	}
	if r.URL.Path == redeemPath {
		a.redeem(w, r)
		return
	}
	caller, err := a.admit(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	r = routable(r)
	// The mux would redirect an address that is not clean; Trove has no such thing.
	if _, pattern := a.mux.Handler(r); pattern == "" || r.Method == http.MethodHead || path.Clean(r.URL.Path) != r.URL.Path {
		a.fail(w, r, errNoRoute())
		return
	}
	a.mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, caller)))
}

// admit finds the caller and compares the project in the path.
func (a *api) admit(r *http.Request) (auth.Caller, error) {
	rest, ok := cutPrefix(r.URL.Path)
	if !ok {
		return auth.Caller{}, errNoRoute()
	}
	caller, err := a.Auth.Authenticate(r.Context(), r)
	if coffer.IsKind(err, coffer.KindUnauthorized) {
		return auth.Caller{}, errToken()
	}
	if err != nil {
		return auth.Caller{}, coffer.Wrap("authenticate", err)
	}
	project, _, more := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
	if !more || project != string(caller.Project) {
		return auth.Caller{}, errForeign(caller.Project)
	}
	return caller, nil
}

// cutPrefix gives the path below the interface's prefix.
func cutPrefix(p string) (string, bool) {
	for _, prefix := range []string{trovePrefix, ownPrefix} {
		if rest, ok := strings.CutPrefix(p, prefix); ok && (rest == "" || rest[0] == '/') {
			return rest, true
		}
	}
	return "", false
}

// routable is r without a slash at the end of its path, which Trove ignores.
func routable(r *http.Request) *http.Request {
	if !strings.HasSuffix(r.URL.Path, "/") {
		return r
	}
	r = r.Clone(r.Context())
	r.URL.Path = strings.TrimSuffix(r.URL.Path, "/")
	r.URL.RawPath = strings.TrimSuffix(r.URL.RawPath, "/")
	return r
}

// handler makes a route's http.Handler.
func (rt route) handler(a *api) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, _ := r.Context().Value(callerKey{}).(auth.Caller)
		if strings.ContainsRune(r.URL.Path, 0) || strings.ContainsRune(r.URL.RawQuery, 0) || strings.Contains(r.URL.RawQuery, "%00") {
			a.fail(w, r, coffer.E(coffer.KindInvalid, "", "The address holds a NUL character."))
			return
		}
		out, err := rt.do(a, request{Request: r, caller: caller})
		if err != nil {
			a.fail(w, r, err)
			return
		}
		a.write(w, r, out.status, out.body)
	})
}

// fail writes an error in the words of the interface that was called.
func (a *api) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		return // nobody listens any more
	}
	f := troveFault
	if strings.HasPrefix(r.URL.Path, ownPrefix+"/") {
		f = ownFault
	}
	out := f(err)
	if out.cause != nil {
		a.Log.ErrorContext(r.Context(), "a request failed", "method", r.Method, "path", r.URL.Path,
			"request_id", w.Header().Get("X-Openstack-Request-Id"), "answer", faultText(out.body), "err", out.cause)
	}
	if out.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Token realm="coffer"`)
	}
	if out.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	a.write(w, r, out.status, out.body)
}

// faultText is the text that the client got, which holds the id to look for.
func faultText(body any) string {
	b, err := pyJSON(body)
	if err != nil {
		return ""
	}
	return string(b)
}

// write sends a status and a body as JSON; a nil body is an empty one.
func (a *api) write(w http.ResponseWriter, r *http.Request, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if body == nil {
		w.WriteHeader(status)
		return
	}
	b, err := pyJSON(body)
	if err != nil {
		a.Log.ErrorContext(r.Context(), "could not write an answer as JSON", "path", r.URL.Path, "err", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	if _, err := w.Write(b); err != nil {
		a.Log.DebugContext(r.Context(), "the client went away", "path", r.URL.Path, "err", err)
	}
}

// recover turns a panic into an answer and a line in the log.
func (a *api) recover(w http.ResponseWriter, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p)
	}
	a.fail(w, r, coffer.E(coffer.KindInternal, "serve the request", "panic: %v\n%s", p, debug.Stack()))
}

// started answers what began a job.
func started(j coffer.Job) reply {
	return reply{http.StatusAccepted, rest.Started{Job: jobView(j), Instance: j.Instance}}
}
