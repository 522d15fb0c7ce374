package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/auth"
)

// rush is a steady stream of requests for backups.
type rush struct {
	agents, each int // agents, and instances of each
	rate         int // requests a second, whatever becomes of the earlier ones
	lasts        time.Duration
	want         coffer.State // how each job is to end: COMPLETED, or FAILED at once after the claim
}

// rushed is what came of it.
type rushed struct {
	asked, refused          int
	rings                   float64       // bells that an agent heard for each job
	posting                 time.Duration // from the first request to the last one's answer
	ended                   time.Duration // from the first request to the last job's end
	post, building, whole   []time.Duration
	api, tasks, conductor   account
	agents, broker, records time.Duration // CPU
}

// BenchmarkDispatch is 200 requests for a backup a second, end to end. "whole" is
// POST, row, task manager, RabbitMQ, an agent that claims the job, a fake engine, an
// archive in a store in memory, the commit, and COMPLETED. "claim" is the dispatch
// alone: the engine fails at the first look, so the job ends right after its claim.
// building is the time from sending the POST until the agent has its claim answered,
// ended until it hears how the job ended.
// COFFER_BENCH_RATE is how many requests a second there are.
func BenchmarkDispatch(b *testing.B) {
	for name, want := range map[string]coffer.State{"claim": coffer.Failed, "whole": coffer.Completed} {
		r := rush{agents: 20, each: 50, rate: sized(b, "COFFER_BENCH_RATE", 200), lasts: 30 * time.Second, want: want}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				r.hold(b, newPlane(b)).report(b)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func (v rushed) report(b *testing.B) {
	b.ReportMetric(float64(v.asked)/v.posting.Seconds(), "post/s")
	b.ReportMetric(float64(len(v.whole))/v.ended.Seconds(), "ended/s")
	b.ReportMetric(float64(v.refused), "refused")
	b.ReportMetric(v.rings, "rings/job")
	for name, took := range map[string][]time.Duration{"post": v.post, "building": v.building, "ended": v.whole} {
		b.ReportMetric(quantile(took, 0.5), name+"_p50_ms")
		b.ReportMetric(quantile(took, 0.99), name+"_p99_ms")
	}
	var all time.Duration
	for name, used := range map[string]time.Duration{
		"api": v.api.CPU, "taskmanager": v.tasks.CPU, "conductor": v.conductor.CPU,
		"agents": v.agents, "rabbitmq": v.broker, "postgresql": v.records,
	} {
		b.ReportMetric(used.Seconds()/v.ended.Seconds(), name+"_cores")
		b.ReportMetric(ms(used)/float64(len(v.whole)), name+"_ms/job")
		all += used
	}
	b.ReportMetric(ms(all)/float64(len(v.whole)), "all_ms/job")
}

// hold brings up the roles and the agents, and sends the requests.
func (r rush) hold(tb testing.TB, p *plane) (v rushed) {
	tb.Helper()
	conductor := p.boot(tb, station{Role: "conductor"})
	tasks := p.boot(tb, station{Role: "taskmanager"})
	web := p.boot(tb, station{Role: "api"})
	var fail error
	if r.want == coffer.Failed {
		fail = coffer.E(coffer.KindTool, "look at the server", "this one is to fail")
	}
	// Twenty agents share this process, and the stacks of thousands of Serves: alone on
	// its machine each would collect garbage seldom.
	defer debug.SetGCPercent(debug.SetGCPercent(800))
	c := launchCrew(tb, p, r.agents, r.each, fakes{fail})
	tb.Logf("%d agents with %d instances are up; load %s", r.agents, len(c.instances), load())
	for _, s := range []*post{conductor, tasks, web} {
		s.account(tb)
	}
	broker, database, own, from := cpu(p.broker.Pid()), cpu(p.pg.Pid()), ownCPU(), time.Now()
	d := desk{url: fmt.Sprintf("%s/v1.0/%s/backups", web.url, auth.LocalProject), sent: map[coffer.JobID]time.Time{}}
	d.client.Transport = &http.Transport{MaxIdleConnsPerHost: 256}
	defer d.client.CloseIdleConnections()
	d.send(tb.Context(), r, c.instances)
	v.posting = time.Since(from)
	c.await(tb, d.sent, r.want)
	for id, at := range d.sent {
		claimed, ended := c.times(id)
		v.building = append(v.building, claimed.Sub(at))
		v.whole = append(v.whole, ended.Sub(at))
		v.ended = max(v.ended, ended.Sub(from))
	}
	v.rings = float64(c.rings.Load()) / float64(len(d.sent))
	v.asked, v.refused, v.post = len(d.sent)+d.refused, d.refused, d.took
	v.conductor, v.tasks, v.api = conductor.account(tb), tasks.account(tb), web.account(tb)
	v.broker, v.records, v.agents = cpu(p.broker.Pid())-broker, cpu(p.pg.Pid())-database, ownCPU()-own
	tb.Logf("the conductor's handlers took, in ms: median %v, p99 %v", v.conductor.Median, v.conductor.P99)
	tb.Logf("%d requests (%d refused: %s) in %.1f s, the last job ended after %.1f s; load %s",
		v.asked, v.refused, d.why, v.posting.Seconds(), v.ended.Seconds(), load())
	return v
}

// desk sends requests and keeps when each was sent.
type desk struct {
	url    string
	client http.Client

	mu      sync.Mutex
	sent    map[coffer.JobID]time.Time
	took    []time.Duration
	refused int
	why     string
}

// send asks for backups of one instance after the other at a rate, and returns when
// all are answered. It does not slow down when the answers do.
func (d *desk) send(ctx context.Context, r rush, of []coffer.InstanceID) {
	var wg sync.WaitGroup
	defer wg.Wait()
	from := time.Now()
	for n := 0; time.Since(from) < r.lasts; n++ {
		if !nap(ctx, time.Until(from.Add(time.Duration(n)*time.Second/time.Duration(r.rate)))) {
			return
		}
		wg.Go(func() {
			at := time.Now()
			id, err := d.post(ctx, of[n%len(of)])
			d.mu.Lock()
			defer d.mu.Unlock()
			if err != nil {
				d.refused++
				d.why = err.Error()
				return
			}
			d.sent[id] = at
			d.took = append(d.took, time.Since(at))
		})
	}
}

// post asks for one backup; its id is its job's.
func (d *desk) post(ctx context.Context, of coffer.InstanceID) (coffer.JobID, error) {
	body := fmt.Appendf(nil, `{"backup":{"name":"nightly","instance":"%s"}}`, of)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	r.Header.Set("X-Auth-Token", apiToken)
	r.Header.Set("Content-Type", "application/json")
	got, err := d.client.Do(r)
	if err != nil {
		return "", err
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		return "", err
	}
	if got.StatusCode != http.StatusAccepted {
		return "", fmt.Errorf("%s: %s", got.Status, text)
	}
	var made struct{ Backup struct{ ID coffer.JobID } }
	err = json.Unmarshal(text, &made)
	return made.Backup.ID, err
}
