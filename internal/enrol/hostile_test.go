package enrol

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/sign"
	"github.com/cofferdb/coffer/internal/testenv"
)

// forged is a message on oslo.messaging's wire.
func forged(method string, args any, more map[string]any) []byte {
	inner := map[string]any{"method": method, "args": args, "version": "1.0", "_unique_id": coffer.NewNonce(), "_context_request_id": "req-1"}
	for k, v := range more {
		inner[k] = v
	}
	text, err := json.Marshal(inner)
	if err != nil {
		panic(err)
	}
	out, err := json.Marshal(map[string]string{"oslo.version": "2.0", "oslo.message": string(text)})
	if err != nil {
		panic(err)
	}
	return out
}

func sent(user string, body []byte) amqp091.Publishing {
	return amqp091.Publishing{UserId: user, Body: body, ContentType: "application/json", ContentEncoding: "utf-8"}
}

// An agent with its own account and keys, that knows every id, changes nothing of
// anybody else's: not through the exchange, not past it, not in another's name, not by
// repeating, flooding or mangling.
func TestHostileAgent(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	honest := s.begin()
	p := s.peer(t, s.hostile.Account, s.hostile.Password)
	before := s.all()
	logged := strings.Count(s.log.String(), "\n")

	s.forge(p)
	s.speakToAgents(p)
	s.flood(p)
	s.bounce(p)
	s.repeatOwn(p)

	// Whatever was sent before this has been handled when it is answered.
	_, err := message.Heartbeat.Call(t.Context(), honest, message.Conductor, message.HeartbeatArgs{Agent: s.honest.Agent, Boot: "boot", Beat: 1})
	s.must(err)
	s.until("the conductor's queue is empty", func() bool { return s.plane.Pending(message.Conductor) == 0 })
	if diff := cmp.Diff(mask(before), mask(s.all())); diff != "" {
		t.Error(diff)
	}
	if n := s.verbs.Load(); n != 0 {
		t.Errorf("%d forged verbs were carried out", n)
	}
	if n := strings.Count(s.log.String(), "\n") - logged; n > 25 {
		t.Errorf("%d lines of log:\n%s", n, s.log.String())
	}
	if s.conductor.Refused() < 40 {
		t.Errorf("%d messages are counted as refused", s.conductor.Refused())
	}
	// All still works.
	s.must(message.Report.Cast(t.Context(), honest, message.Conductor, message.ReportArgs{Job: s.job, Runner: s.runner, Seq: 8, Beat: 8, Phase: "upload"}))
	s.until("the next honest report is applied", func() bool { return s.row().Phase == "upload" })
	s.must(message.Start.Cast(t.Context(), s.plane, message.GuestAgent(s.honest.in), message.JobRef{Job: s.job}))
	s.until("the honest agent hears the control plane", func() bool { return s.verbs.Load() == 1 })
}

// mask takes out when the honest agent was last heard, which moves.
func mask(rows string) string {
	var all []any
	if err := json.Unmarshal([]byte(rows), &all); err != nil {
		panic(err)
	}
	for _, a := range all[3].([]any) {
		a.(map[string]any)["Seen"] = ""
	}
	return fmt.Sprint(all)
}

// forge speaks in the honest agent's name, through the exchange and past it.
func (s *stage) forge(p *peer) {
	me := s.hostile.Account
	evil := coffer.NewRunner(s.honest.Agent, "evil")
	for method, args := range map[string]any{
		"report":    message.ReportArgs{Job: s.job, Runner: s.runner, Seq: 1 << 63, Beat: 1 << 63, Phase: "forged"},
		"commit":    message.CommitArgs{Job: s.job, Runner: s.runner, ManifestSHA256: "forged"},
		"done":      message.DoneArgs{Job: s.job, Runner: s.runner, Outcome: message.Failed, Error: "forged"},
		"claim":     message.ClaimArgs{Job: s.job, Runner: evil},
		"heartbeat": message.HeartbeatArgs{Agent: s.honest.Agent, Boot: "evil", Host: true, Health: map[coffer.InstanceID]string{s.honest.in: "CRASHED"}},
		// Trove's own way to write columns of a backup, another project's among them.
		"update_backup": map[string]any{"instance_id": s.honest.in, "backup_id": s.job, "state": "COMPLETED", "tenant_id": "q", "sent": 1e12},
	} {
		for _, way := range []struct{ exchange, user string }{{hostileExchange, me}, {hostileExchange, ""}, {"", me}, {"", ""}} {
			for range 2 {
				if code := p.try(publish(way.exchange, "trove-conductor", sent(way.user, forged(method, args, nil)))); code != 0 {
					s.t.Errorf("%s by %q: %d", method, way.exchange, code)
				}
			}
		}
		for _, user := range []string{s.honest.Account, testenv.BrokerUserName} {
			if code := p.try(publish("", "trove-conductor", sent(user, forged(method, args, nil)))); code != 406 {
				s.t.Errorf("%s as %s: %d", method, user, code)
			}
		}
	}
}

// speakToAgents writes verbs straight into the honest agent's queues: unsigned, signed
// by a key of one's own, and signed by the control plane for oneself. It has calls
// answered into queues that are not for answers.
func (s *stage) speakToAgents(p *peer) {
	key, err := sign.Create(filepath.Join(s.t.TempDir(), "k"))
	s.must(err)
	mine := message.HostAgent(s.hostile.Agent)
	body, err := json.Marshal(message.JobRef{Job: s.job})
	s.must(err)
	for _, to := range []bus.Target{message.GuestAgent(s.honest.in), message.HostAgent(s.honest.Agent)} {
		own, err := sign.NewSigner(key, nil).Sign(to, "start", body)
		s.must(err)
		moved, err := s.signer.Sign(mine, "start", body)
		s.must(err)
		other, err := s.signer.Sign(to, "cancel", body)
		s.must(err)
		for _, sig := range []string{"", own, moved, other} {
			more := map[string]any{"_context_coffer_signature": sig}
			if sig == "" {
				more = nil
			}
			if code := p.try(publish("", to.Topic, sent(s.hostile.Account, forged("start", message.JobRef{Job: s.job}, more)))); code != 0 {
				s.t.Error(code)
			}
		}
		call := map[string]any{"_msg_id": coffer.NewNonce(), "_reply_q": to.Topic}
		args := message.HeartbeatArgs{Agent: s.hostile.Agent, Boot: "x"}
		if code := p.try(publish(hostileExchange, "trove-conductor", sent("", forged("heartbeat", args, call)))); code != 0 {
			s.t.Error(code)
		}
	}
}

// flood sends what cannot be read, and what is too large: 100 MB, which the broker
// refuses, and as much as it lets pass.
func (s *stage) flood(p *peer) {
	huge := bytes.Repeat([]byte("x"), 100<<20)
	for _, exchange := range []string{hostileExchange, ""} {
		if code := p.try(publish(exchange, "trove-conductor", sent("", huge))); code != 406 {
			s.t.Errorf("100 MB: %d", code)
		}
	}
	deep := strings.Repeat("[", 500_000)
	for _, body := range [][]byte{
		nil, []byte("x"), []byte(`{"oslo.version":"2.0"}`), []byte(`{"oslo.version":"9.0","oslo.message":"{}"}`), []byte(`{"oslo.version":"2.0","oslo.message":"{"}`),
		[]byte(deep), huge[:1<<20], forged("report", "no object", nil), forged("report", map[string]any{"seq": -1}, nil),
		forged("report", map[string]any{"progress": map[string]any{"rate": "NaN"}}, nil), forged("__init__", map[string]any{}, nil), {0xff, 0xfe, 0},
	} {
		for range 5 {
			if code := p.try(publish("", "trove-conductor", sent(s.hostile.Account, body))); code != 0 {
				s.t.Errorf("%.40q: %d", body, code)
			}
		}
	}
}

// bounce has the broker itself carry what the control plane wrote: a verb to the
// hostile agent is dead-lettered from its queue into others, under the control
// plane's name.
func (s *stage) bounce(p *peer) {
	q := message.HostAgent(s.hostile.Agent).Topic
	for _, to := range []string{"trove-conductor", message.HostAgent(s.honest.Agent).Topic} {
		code := p.try(func(ch *amqp091.Channel) error {
			_, err := ch.QueueDeclare(q, false, false, false, false, amqp091.Table{
				"x-message-ttl": int32(0), "x-dead-letter-exchange": "", "x-dead-letter-routing-key": to,
			})
			if err == nil {
				err = ch.QueueBind(q, q, hostileExchange, false, nil)
			}
			return err
		})
		if code != 0 {
			s.t.Fatalf("the broker says %d", code)
		}
		s.must(message.Start.Cast(s.t.Context(), s.plane, message.HostAgent(s.hostile.Agent), message.JobRef{Job: s.job}))
		if code := p.try(func(ch *amqp091.Channel) error { _, err := ch.QueueDelete(q, false, false, false); return err }); code != 0 {
			s.t.Error(code)
		}
	}
}

// repeatOwn reports on a job of its own; another life's runner and repeats are dropped,
// and none of it touches another row.
func (s *stage) repeatOwn(p *peer) {
	args := message.ReportArgs{Job: s.job, Runner: coffer.NewRunner(s.hostile.Agent, "1"), Seq: 1 << 63, Beat: 9, Phase: "mine now"}
	body := forged("report", args, nil)
	for range 5 {
		if code := p.try(publish(hostileExchange, "trove-conductor", sent(s.hostile.Account, body))); code != 0 {
			s.t.Error(code)
		}
	}
	claim := message.ClaimArgs{Job: s.job, Runner: coffer.NewRunner(s.hostile.Agent, "1")}
	if code := p.try(publish(hostileExchange, "trove-conductor", sent(s.hostile.Account, forged("claim", claim, nil)))); code != 0 {
		s.t.Error(code)
	}
}
