package message

import (
	"bytes"
	"encoding/json"
	"flag"
	"hash/fnv"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
)

// An agent may be one release older than the control plane, and the other way
// round. testdata/previous holds every message as the previous release wrote it,
// with every field set. Fields may be added; whoever does not know one ignores it.
// What was there keeps its name, its type and its meaning.
//
// After a release:
//
//	go test ./internal/message -run PreviousRelease -write
var write = flag.Bool("write", false, "write testdata/previous from today's types")

const previous = "testdata/previous"

// bodies are the messages that cross the wire, by method and direction.
func bodies() map[string]any {
	return map[string]any{
		"dispatch.args":   &JobRef{},
		"start.args":      &JobRef{},
		"cancel.args":     &JobRef{},
		"forget.args":     &InstanceRef{},
		"register.args":   &RegisterArgs{},
		"register.reply":  &RegisterReply{},
		"look.args":       &LookArgs{},
		"look.reply":      &LookReply{},
		"claim.args":      &ClaimArgs{},
		"claim.reply":     &Order{},
		"commit.args":     &CommitArgs{},
		"commit.reply":    &CommitReply{},
		"report.args":     &ReportArgs{},
		"done.args":       &DoneArgs{},
		"done.reply":      &DoneReply{},
		"heartbeat.args":  &HeartbeatArgs{},
		"heartbeat.reply": &HeartbeatReply{},
	}
}

// words are the strings that mean something to the other side.
func words() map[string][]string {
	w := map[string][]string{
		"methods": {
			Dispatch.Name, Start.Name, Cancel.Name, Forget.Name, Register.Name, Look.Name,
			Claim.Name, Commit.Name, Report.Name, Done.Name, Heartbeat.Name,
		},
		"topics": {TaskManager.Topic, Conductor.Topic, GuestAgent("i").Topic, HostAgent("a").Topic},
	}
	for _, o := range []Outcome{Written, Ended, Failed, Unknown} {
		w["outcomes"] = append(w["outcomes"], string(o))
	}
	for _, s := range []coffer.State{coffer.New, coffer.Building, coffer.Saving, coffer.Completed, coffer.Failed, coffer.DeleteFailed, coffer.Restored} {
		w["states"] = append(w["states"], string(s))
	}
	for _, k := range []coffer.JobKind{coffer.JobBackup, coffer.JobRestore, coffer.JobVerify, coffer.JobDelete} {
		w["jobs"] = append(w["jobs"], string(k))
	}
	for _, k := range []coffer.Kind{
		coffer.KindInternal, coffer.KindInvalid, coffer.KindNotFound, coffer.KindConflict, coffer.KindUnavailable, coffer.KindUnknown,
		coffer.KindCorrupt, coffer.KindNoSpace, coffer.KindNeedFull, coffer.KindTool, coffer.KindCanceled,
	} {
		w["kinds"] = append(w["kinds"], string(k))
	}
	return w
}

// fill sets everything below v to values that follow from where they are.
func fill(v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), path)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)))
			return
		}
		for i := range v.NumField() {
			if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); name != "-" && v.Type().Field(i).IsExported() {
				fill(v.Field(i), path+"."+v.Type().Field(i).Name)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), path+"[]")
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, path+"{}")
		fill(value, path+"{}")
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString(path)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(number(path))
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(number(path)))
	case reflect.Float64:
		v.SetFloat(float64(number(path)) / 2)
	default:
		panic("no value for a " + v.Type().String())
	}
}

// number is what a path says, between 1 and 2¹⁶.
func number(path string) int64 {
	h := fnv.New32a()
	h.Write([]byte(path))
	return int64(h.Sum32()%0xffff) + 1
}

func filled(t *testing.T, name string, body any) []byte {
	t.Helper()
	fill(reflect.ValueOf(body).Elem(), name)
	b, err := json.MarshalIndent(body, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}

func tree(t *testing.T, b []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// seenBy is what a reader that knows the old fields alone sees of a document.
func seenBy(old, now any) any {
	switch o := old.(type) {
	case map[string]any:
		n, ok := now.(map[string]any)
		if !ok {
			return now
		}
		seen := map[string]any{}
		for key, value := range n {
			if was, known := o[key]; known {
				seen[key] = seenBy(was, value)
			}
		}
		return seen
	case []any:
		n, ok := now.([]any)
		if !ok {
			return now
		}
		var seen []any
		for _, value := range n {
			seen = append(seen, seenBy(o[0], value))
		}
		return seen
	}
	return now
}

func TestPreviousRelease(t *testing.T) {
	t.Parallel()
	if *write {
		writePrevious(t)
	}
	for name, body := range bodies() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			golden, err := os.ReadFile(filepath.Join(previous, name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			// Old writer, new reader: every field that was there is still known.
			read := reflect.New(reflect.TypeOf(body).Elem()).Interface()
			d := json.NewDecoder(bytes.NewReader(golden))
			d.DisallowUnknownFields()
			if err := d.Decode(read); err != nil {
				t.Fatalf("what the previous release wrote is not read: %v", err)
			}
			again, err := json.Marshal(read)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tree(t, golden), seenBy(tree(t, golden), tree(t, again))); d != "" {
				t.Errorf("of what the previous release wrote something is lost (-wrote +kept):\n%s", d)
			}
			// New writer, old reader: every field that it knows comes as it came before.
			now := filled(t, name, body)
			if d := cmp.Diff(tree(t, golden), seenBy(tree(t, golden), tree(t, now))); d != "" {
				t.Errorf("the previous release reads something else than it wrote (-old +new):\n%s", d)
			}
		})
	}
}

// TestPreviousWords: no word of the protocol changes or goes.
func TestPreviousWords(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(filepath.Join(previous, "words.json"))
	if err != nil {
		t.Fatal(err)
	}
	var was map[string][]string
	if err := json.Unmarshal(b, &was); err != nil {
		t.Fatal(err)
	}
	now := words()
	for list, old := range was {
		for _, w := range old {
			if !slices.Contains(now[list], w) {
				t.Errorf("%s: the word %q is gone", list, w)
			}
		}
	}
	files, err := filepath.Glob(filepath.Join(previous, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".json")
		if _, known := bodies()[name]; !known && name != "words" {
			t.Errorf("the message %s is gone", name)
		}
	}
}

func writePrevious(t *testing.T) {
	t.Helper()
	w, err := json.MarshalIndent(words(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"words": append(w, '\n')}
	for name, body := range bodies() {
		files[name] = filled(t, name, body)
	}
	if err := os.MkdirAll(previous, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(previous, name+".json"), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
