package conductor

import (
	"context"
	"crypto/sha256"
	"slices"
	"sync"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/message"
)

func (c *Conductor) heartbeat(ctx context.Context, a message.HeartbeatArgs) (message.HeartbeatReply, error) {
	host, err := c.prove(ctx, a.Agent)
	if err != nil {
		return message.HeartbeatReply{}, err
	}
	if !word(string(a.Agent)) || len(a.Boot) > 128 {
		return message.HeartbeatReply{}, coffer.E(coffer.KindInvalid, "note an agent's heartbeat", "it names no agent")
	}
	ag := coffer.Agent{
		ID: a.Agent, Boot: clip(a.Boot, 128), Version: clip(a.Version, 64), Host: a.Host && host, DataDir: clip(a.DataDir, maxText),
		Free: max(a.Free, 0), Beat: a.Beat, Seen: c.Now(),
	}
	if err := c.Records.Heartbeat(ctx, ag); err != nil {
		return message.HeartbeatReply{}, coffer.Wrap("note an agent's heartbeat", err)
	}
	in, err := c.Records.InstancesOfAgent(ctx, a.Agent)
	if err != nil {
		return message.HeartbeatReply{}, coffer.Wrap("list an agent's instances", err)
	}
	if err := c.grant(ctx, a.Agent, in); err != nil {
		return message.HeartbeatReply{}, err
	}
	if err := c.tend(ctx, a, in); err != nil {
		return message.HeartbeatReply{}, err
	}
	gone, err := c.deleted(ctx, a, in)
	return message.HeartbeatReply{Instances: in, Deleted: gone}, err
}

// tend brings the rows of an agent's instances up to its heartbeat: one that waits for
// its first look is rung for, and a restored server's health shows in its status. That
// is SHUTDOWN, which Trove shows for a crashed server too; what stands there for other
// reasons stays.
func (c *Conductor) tend(ctx context.Context, a message.HeartbeatArgs, in []coffer.Instance) error {
	for i := range in {
		if message.Waits(in[i]) {
			err := message.Enrolled.Cast(ctx, c.Bus, message.Enrolment, message.InstanceRef{Instance: in[i].ID})
			if err != nil {
				c.Log.Debug("nobody looks at a new instance; it is rung for again", "instance", in[i].ID, "err", err)
			}
		}
		status := shown(in[i], a.Health[in[i].ID])
		if status == in[i].Status {
			continue
		}
		from := in[i].Status
		err := c.setInstance(ctx, in[i].ID, func(row *coffer.Instance) {
			if row.Status == from && row.Agent == a.Agent {
				row.Status = status
			}
		})
		if coffer.IsKind(err, coffer.KindNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return err
		}
		in[i].Status = status
	}
	return nil
}

// shown is the status of a restored server with some health.
func shown(in coffer.Instance, health string) string {
	switch {
	case in.Kind != coffer.Hosted:
	case in.Status == "ACTIVE" && health == "CRASHED":
		return "SHUTDOWN"
	case in.Status == "SHUTDOWN" && health == "HEALTHY":
		return "ACTIVE"
	}
	return in.Status
}

// maxSlots bounds of how many folders one heartbeat is answered for.
const maxSlots = 1024

// deleted are those of an agent's slots whose instance somebody has deleted. The
// message that told of it may have been lost, or cut short. A slot that no row
// knows is kept: the records may be older than it.
func (c *Conductor) deleted(ctx context.Context, a message.HeartbeatArgs, live []coffer.Instance) ([]coffer.InstanceID, error) {
	var gone []coffer.InstanceID
	for _, id := range a.Slots[:min(len(a.Slots), maxSlots)] {
		if !word(string(id)) || slices.ContainsFunc(live, func(in coffer.Instance) bool { return in.ID == id }) {
			continue
		}
		in, err := c.Records.InstanceByID(ctx, id)
		if coffer.IsKind(err, coffer.KindNotFound) {
			continue
		}
		if err != nil {
			return nil, coffer.Wrap("look for deleted instances", err)
		}
		if in.Deleted && (in.Agent == a.Agent || in.Agent == "") {
			gone = append(gone, id)
		}
	}
	return gone, nil
}

// grants remembers which instances each agent's account was last let at.
type grants struct {
	mu   sync.Mutex
	last map[coffer.AgentID][sha256.Size]byte
}

const longAgo = 24 * time.Hour

// grant lets an agent's account at the topics of its instances when they are others
// than before, before the agent hears of them. After a start of this process that is
// not known, and it is done anew.
func (c *Conductor) grant(ctx context.Context, agent coffer.AgentID, in []coffer.Instance) error {
	if c.Accounts == nil {
		return nil
	}
	h, old := sha256.New(), true
	for _, i := range in {
		h.Write([]byte(i.ID + "\n"))
		old = old && c.Now().Sub(i.Updated) > longAgo
	}
	sum := [sha256.Size]byte(h.Sum(nil))
	c.granted.mu.Lock()
	last, known := c.granted.last[agent]
	c.granted.mu.Unlock()
	if known && last == sum {
		return nil
	}
	if known || !old {
		if err := c.Accounts(ctx, agent); err != nil {
			return coffer.Wrap("let the agent's account at its instances", err)
		}
	}
	c.granted.mu.Lock()
	defer c.granted.mu.Unlock()
	if c.granted.last == nil {
		c.granted.last = map[coffer.AgentID][sha256.Size]byte{}
	}
	c.granted.last[agent] = sum
	return nil
}
