package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recorded is one request to a real Trove 18.0.0 and its answer. Ids, times and
// hosts in it are placeholders.
type recorded struct {
	Name            string            `json:"name"`
	As              string            `json:"as"`
	Method          string            `json:"method"`
	Path            string            `json:"path"`
	Headers         map[string]string `json:"headers"`
	Body            json.RawMessage   `json:"body"`
	Raw             *string           `json:"raw"`
	Status          int               `json:"status"`
	ResponseHeaders map[string]string `json:"response_headers"`
	Response        json.RawMessage   `json:"response"`
	Save            map[string]string `json:"save"`
	Vars            map[string]string `json:"vars"`
	Ctl             map[string]any    `json:"ctl"`
	CtlAfter        map[string]any    `json:"ctl_after"`
	Wait            *struct{}         `json:"wait"`
	Volatile        []string          `json:"volatile"`
}

// TestReplay sends every recorded request, in order, to the API over real records,
// and wants Trove's bytes back. The cases in differs are the only exceptions, each
// with its reason; one that begins to match is an error as well.
func TestReplay(t *testing.T) {
	t.Parallel()
	w := newReplay(t)
	files, err := filepath.Glob("testdata/trove/*.json")
	if err != nil || len(files) < 200 {
		t.Fatalf("%d recorded cases, %v", len(files), err)
	}
	same, unused := 0, maps.Clone(differs)
	for _, f := range files {
		c := readRecorded(t, f)
		problem := w.play(c)
		why, excepted := differs[c.Name]
		delete(unused, c.Name)
		switch {
		case problem != "" && !excepted:
			t.Errorf("%s: %s", c.Name, problem)
		case problem == "" && excepted:
			t.Errorf("%s matches now; it was excepted: %s", c.Name, why)
		case problem == "":
			same++
		}
	}
	for name := range unused {
		t.Errorf("the exception %s is no case", name)
	}
	t.Logf("%d of %d recorded answers are matched byte for byte", same, len(files))
}

func readRecorded(t *testing.T, file string) recorded {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var c recorded
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return c
}

var (
	placeholder = regexp.MustCompile(`\{([A-Z][A-Z0-9_]*)\}`)
	anyUUID     = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	anyTime     = regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?`)
	catalogUUID = regexp.MustCompile(`(dddddddd|eeeeeeee)-0000-4000-8000-[0-9a-f]{12}`)
)

// fill puts the real values in the place of placeholders.
func (w *replay) fill(s string) string {
	return placeholder.ReplaceAllStringFunc(s, func(m string) string {
		if v, ok := w.vars[m[1:len(m)-1]]; ok {
			return v
		}
		return m
	})
}

// norm puts placeholders in the place of real values, the longest first.
func (w *replay) norm(s string) string {
	names := slices.SortedFunc(maps.Keys(w.vars), func(a, b string) int {
		if d := len(w.vars[b]) - len(w.vars[a]); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for _, k := range names {
		if v := w.vars[k]; len(v) > 5 {
			s = strings.ReplaceAll(s, v, "{"+k+"}")
		}
	}
	s = strings.ReplaceAll(s, "https://{HOSTPORT}", "{BASE_HTTPS}")
	return anyTime.ReplaceAllString(anyUUID.ReplaceAllString(s, "<uuid>"), "<time>")
}

// play sends one case and says how the answer differs, or "".
func (w *replay) play(c recorded) string {
	maps.Copy(w.ctl, c.Ctl)
	maps.Copy(w.vars, c.Vars)
	res, body := w.send(c)
	w.seed(c)
	w.save(c, body)
	want := canonical(catalogUUID.ReplaceAllString(string(c.Response), "<uuid>"))
	got := canonical(w.norm(string(body)))
	w.work(c)
	maps.Copy(w.ctl, c.CtlAfter)
	switch {
	case res.StatusCode != c.Status:
		return fmt.Sprintf("status %d, want %d: %s", res.StatusCode, c.Status, body)
	case res.Header.Get("Content-Type") != c.ResponseHeaders["content-type"] && c.Method != http.MethodOptions:
		return "content type " + res.Header.Get("Content-Type")
	case res.Header.Get("X-Openstack-Request-Id") == "":
		return "no request id"
	case len(body) == 0 && string(c.Response) == "null":
		return ""
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return "(-want +got)\n" + diff
	}
	if n := c.ResponseHeaders["content-length"]; n != strconv.Itoa(len(body)) && len(c.Volatile) == 0 {
		return fmt.Sprintf("%d bytes, want %s: %s", len(body), n, body)
	}
	return ""
}

// canonical is JSON without the recorder's spaces; the order of keys stays. Values
// that change from moment to moment are blanked, and lists that Trove promises no
// order for are sorted.
func canonical(s string) string {
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(s)); err != nil {
		return s
	}
	out := regexp.MustCompile(`"remaining":\d+`).ReplaceAllString(ascii(b.String()), `"remaining":0`)
	var list struct {
		Strategies []json.RawMessage `json:"backup_strategies"`
	}
	if json.Unmarshal([]byte(out), &list) == nil && len(list.Strategies) > 1 {
		slices.SortFunc(list.Strategies, func(a, b json.RawMessage) int { return bytes.Compare(a, b) })
		return string(bytes.Join(asBytes(list.Strategies), []byte(",")))
	}
	return out
}

// ascii escapes what is beyond ASCII, as Python does.
func ascii(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < 0x80 {
			b.WriteRune(r)
			continue
		}
		fmt.Fprintf(&b, `\u%04x`, r)
	}
	return b.String()
}

func asBytes(in []json.RawMessage) (out [][]byte) {
	for _, m := range in {
		out = append(out, m)
	}
	return out
}

func (w *replay) send(c recorded) (*http.Response, []byte) {
	w.t.Helper()
	var body io.Reader
	switch {
	case c.Raw != nil:
		body = strings.NewReader(w.fill(*c.Raw))
	case len(c.Body) > 0 && string(c.Body) != "null":
		body = strings.NewReader(w.fill(string(c.Body)))
	}
	r := httptest.NewRequest(c.Method, w.vars["BASE"]+w.fill(c.Path), body)
	r.Header.Set("Accept", "application/json")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.As != "" {
		r.Header.Set("X-Auth-Token", tokenOf(c.As))
	}
	for k, v := range c.Headers {
		r.Header.Set(k, w.fill(v))
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return rec.Result(), rec.Body.Bytes()
}

// save keeps values of an answer under names that later cases use. What was laid
// down before keeps its value.
func (w *replay) save(c recorded, body []byte) {
	var v any
	if json.Unmarshal(body, &v) != nil {
		return
	}
	for name, path := range c.Save {
		if _, seeded := w.vars[name]; seeded {
			continue
		}
		x := v
		for part := range strings.SplitSeq(path, ".") {
			switch y := x.(type) {
			case map[string]any:
				x = y[part]
			case []any:
				x = y[0]
			}
		}
		if s, ok := x.(string); ok {
			w.vars[name] = s
		}
	}
}
