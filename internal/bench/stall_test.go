package bench

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/workload"
)

// stallFor is how long the store takes nothing.
const stallFor = 60 * time.Second

// errand is one backup that a child process carries out into a store that stalls.
type errand struct {
	Conn  coffer.Conn
	Guard []string
	Dir   string
	When  string // the phase in which the store stalls: "copy" or "lock"
}

// outcome is what the child answers.
type outcome struct {
	Stalled time.Duration // how long the store really took nothing
	Commit  time.Duration // the holds, as the engine measured them
	Peak    int64         // bytes
}

// BenchmarkStall is a full backup into a store that takes nothing for 60 s, while
// clients write: the longest that one of their statements took, and the peak
// memory of the process between the tool and the store, all its buffers full.
func BenchmarkStall(b *testing.B) {
	for _, when := range []string{"copy", "lock"} {
		b.Run(when, func(b *testing.B) {
			s, bin := database(b), program(b)
			db := s.DB(b)
			const schema = "stalled"
			s.Exec(b, "DROP DATABASE IF EXISTS "+schema)
			if err := workload.Fill(b.Context(), db, workload.FillOptions{Seed: 3, Bytes: 64 << 20, Schema: schema}); err != nil {
				b.Fatal(err)
			}
			w, err := workload.Start(b.Context(), db, workload.Options{Schema: schema, Seed: 4, NonTrans: true, Pause: 5 * time.Millisecond})
			if err != nil {
				b.Fatal(err)
			}
			defer w.Stop()
			for b.Loop() {
				w.ResetStalls()
				o := send(b, errand{
					Conn:  coffer.Conn{Socket: s.Socket, CredentialsFile: s.CredentialsFile},
					Guard: []string{bin, "guard"}, Dir: folder(b), When: when,
				})
				stalls := w.Stalls()
				b.ReportMetric(stalls.Commit.Seconds(), "writer_s")
				b.ReportMetric(stalls.NonTrans.Seconds(), "nontrans_s")
				b.ReportMetric(o.Commit.Seconds(), "hold_s")
				b.ReportMetric(o.Stalled.Seconds(), "stalled_s")
				b.ReportMetric(float64(o.Peak)/(1<<20), "peak_MiB")
				b.ReportMetric(0, "ns/op")
			}
			w.Stop()
			s.Exec(b, "DROP DATABASE "+schema)
		})
	}
}

// send has a child do the errand.
func send(b *testing.B, e errand) (o outcome) {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	spec, err := json.Marshal(e)
	if err != nil {
		b.Fatal(err)
	}
	var out, said bytes.Buffer
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childEnv+"="+string(spec))
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		b.Fatalf("the backup: %v\n%s", err, said.String())
	}
	if err := json.Unmarshal(out.Bytes(), &o); err != nil {
		b.Fatalf("%v: %s", err, out.String())
	}
	return o
}
