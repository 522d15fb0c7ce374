package bench

import (
	"cmp"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/auth"
	"github.com/cofferdb/coffer/internal/records"
)

// drill is what a control plane is put through.
type drill struct {
	agents, connections int
	runners             int           // agents that run a job
	heartbeat, beat     time.Duration // between two of an agent, of a job
	lease               time.Duration // 0 is the usual
	lasts               time.Duration
}

// verdict is what came of it.
type verdict struct {
	conductor, tasks account
	broker, database time.Duration // CPU
	laps             map[string][]time.Duration
	wall, gap        time.Duration
	failed           int64 // calls without an answer, or with the wrong one
	drained          uint64
	lost             int  // leases called lost, but for the one that was let go
	caught           bool // that one was
}

// BenchmarkControlPlane is a fleet of agents with heartbeats of 30 s, one in twenty
// of them with a running job and its beats of 5 s, over RabbitMQ to one conductor
// that has one core, with PostgreSQL. A task manager watches the leases; that one of
// them is really lost, because its runner was let go, shows that it does.
// COFFER_BENCH_AGENTS is how many agents there are.
func BenchmarkControlPlane(b *testing.B) {
	agents := sized(b, "COFFER_BENCH_AGENTS", 10_000)
	d := drill{
		agents: agents, connections: max(1, agents/100), runners: max(2, agents/20),
		heartbeat: coffer.HeartbeatEvery, beat: coffer.BeatEvery, lasts: 2 * time.Minute,
	}
	for b.Loop() {
		v := d.hold(b, newPlane(b))
		b.ReportMetric(quantile(v.laps["heartbeat"], 0.5), "heartbeat_p50_ms")
		b.ReportMetric(quantile(v.laps["heartbeat"], 0.99), "heartbeat_p99_ms")
		b.ReportMetric(quantile(v.laps["report"], 0.99), "report_p99_ms")
		b.ReportMetric(v.conductor.Median["heartbeat"], "handling_p50_ms")
		b.ReportMetric(v.conductor.P99["heartbeat"], "handling_p99_ms")
		b.ReportMetric(float64(v.conductor.Count)/v.wall.Seconds(), "messages/s")
		b.ReportMetric(float64(v.conductor.Peak)/(1<<20), "peak_MiB")
		b.ReportMetric(v.share(v.conductor.CPU), "conductor_cores")
		b.ReportMetric(v.share(v.tasks.CPU), "taskmanager_cores")
		b.ReportMetric(v.share(v.broker), "rabbitmq_cores")
		b.ReportMetric(v.share(v.database), "postgresql_cores")
		b.ReportMetric(v.gap.Seconds(), "longest_gap_s")
		b.ReportMetric(float64(v.lost), "lost")
		v.judge(b, d)
	}
	b.ReportMetric(0, "ns/op")
}

// share is how many cores were used in the mean.
func (v verdict) share(cpu time.Duration) float64 { return cpu.Seconds() / v.wall.Seconds() }

// judge fails the test for what is wrong at any speed.
func (v verdict) judge(tb testing.TB, d drill) {
	tb.Helper()
	if v.failed > 0 {
		tb.Errorf("%d calls had no answer, or a wrong one", v.failed)
	}
	if v.lost > 0 {
		tb.Errorf("%d of %d leases were called lost while their runners beat", v.lost, d.runners-1)
	}
	if !v.caught {
		tb.Errorf("a runner that beats no more was not found: nobody watches the leases (the conductor's queue was empty %d times)", v.drained)
	}
}

// hold brings up the roles and the fleet, and measures.
func (d drill) hold(tb testing.TB, p *plane) (v verdict) {
	tb.Helper()
	conductor := p.boot(tb, station{Role: "conductor", Procs: 1})
	tasks := p.boot(tb, station{Role: "taskmanager", Lease: d.lease})
	began := time.Now()
	s := launchSwarm(tb, p, d.agents, d.connections, d.heartbeat, d.beat)
	tb.Logf("%d agents with %d queues on %d connections are up after %.1f s; load %s", d.agents, 2*d.agents, d.connections, time.Since(began).Seconds(), load())
	jobs := d.work(tb, p, s)
	s.drones[0].deaf.Store(true)
	let := time.Now()
	nap(tb.Context(), d.heartbeat) // until everybody was heard once
	s.forget()
	conductor.account(tb)
	tasks.account(tb)
	broker, database, from := cpu(p.broker.Pid()), cpu(p.pg.Pid()), time.Now()
	before := p.drained(tb)
	nap(tb.Context(), d.lasts)
	v.wall, v.laps, v.failed, v.gap = time.Since(from), s.laps.take(), s.failed.Load(), s.gap()
	v.conductor, v.tasks = conductor.account(tb), tasks.account(tb)
	v.broker, v.database = cpu(p.broker.Pid())-broker, cpu(p.pg.Pid())-database
	v.drained = p.drained(tb) - before
	for deadline := let.Add(4 * cmp.Or(d.lease, coffer.LeaseLost)); ; nap(tb.Context(), 100*time.Millisecond) {
		if v.lost, v.caught = p.leases(tb, jobs); v.caught || time.Now().After(deadline) {
			break
		}
	}
	tb.Logf("measured for %.0f s; the runner that was let go is lost: %v; load %s", v.wall.Seconds(), v.caught, load())
	return v
}

// work asks for a backup of the first instances and waits until all are claimed.
// The first is the one that will be let go.
func (d drill) work(tb testing.TB, p *plane, s *swarm) []coffer.JobID {
	tb.Helper()
	jobs := make([]coffer.JobID, d.runners)
	var wg sync.WaitGroup
	const at = 8
	for g := range at {
		wg.Go(func() {
			for i := g; i < len(jobs); i += at {
				b, err := p.db.CreateBackup(tb.Context(), records.NewBackup{
					Project: auth.LocalProject, Instance: s.drones[i].instance, Name: "bench", Store: "main", Quota: -1,
				})
				if err != nil {
					tb.Error(err)
					return
				}
				jobs[i] = coffer.JobID(b.ID)
			}
		})
	}
	wg.Wait()
	for deadline := time.Now().Add(time.Minute); s.claimed.Load() < int64(d.runners); {
		if time.Now().After(deadline) || tb.Failed() {
			tb.Fatalf("%d of %d jobs are claimed", s.claimed.Load(), d.runners)
		}
		nap(tb.Context(), 10*time.Millisecond)
	}
	return jobs
}

// leases counts the jobs whose runner was called lost, but for the first, and says
// whether that was.
func (p *plane) leases(tb testing.TB, jobs []coffer.JobID) (lost int, caught bool) {
	tb.Helper()
	for i, id := range jobs {
		j, err := p.db.JobByID(tb.Context(), id)
		if err != nil {
			tb.Fatal(err)
		}
		gone := j.Lost || !j.State.Running()
		if i == 0 {
			caught = gone
		} else if gone {
			lost++
		}
	}
	return lost, caught
}

func (p *plane) drained(tb testing.TB) uint64 {
	tb.Helper()
	n, err := p.db.Counter(tb.Context(), "drained")
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// sized is a size that the environment may change.
func sized(tb testing.TB, name string, n int) int {
	tb.Helper()
	text := os.Getenv(name)
	if text == "" {
		return n
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		tb.Fatalf("%s=%q is no number", name, text)
	}
	return n
}
