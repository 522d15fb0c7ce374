package api

import (
	"context"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/rest"
)

// registerTimeout bounds an agent's look at a server and its probe of the store.
const registerTimeout = 45 * time.Second

func ownInstanceView(in coffer.Instance) rest.Instance {
	return rest.Instance{
		ID: in.ID, Project: in.Project, Name: in.Name, Kind: in.Kind, Agent: in.Agent, Datastore: in.Datastore,
		Status: in.Status, Conn: in.Conn, VolumeGiB: in.VolumeGiB, Key: in.Key,
		CreatedAt: in.Created.UTC(), UpdatedAt: in.Updated.UTC(),
	}
}

func (a *api) ownInstance(r request) (reply, error) {
	in, err := a.instance(r, r.PathValue("id"))
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, rest.InstanceBody{Instance: ownInstanceView(in)}}, nil
}

func (a *api) ownInstances(r request) (reply, error) {
	limit, err := number(r, "limit", jobsPage)
	if err != nil {
		return reply{}, err
	}
	limit = max(1, min(limit, records.MaxPage-1))
	rows, err := a.Records.Instances(r.Context(), r.project(), coffer.InstanceID(last(r.URL.Query(), "marker")), limit+1)
	if err != nil {
		return reply{}, err
	}
	out := rest.Instances{Instances: []rest.Instance{}}
	if len(rows) > limit {
		rows = rows[:limit]
		out.Next = rows[limit-1].ID
	}
	for _, in := range rows {
		out.Instances = append(out.Instances, ownInstanceView(in))
	}
	return reply{http.StatusOK, out}, nil
}

// register makes an agent look after a running server. The agent opens the server
// and writes a probe object into the store; only when the control plane has read
// that back with its own credentials is the instance kept.
func (a *api) register(r request) (reply, error) {
	var body rest.RegisterBody
	if err := ownBody(r.Request, &body); err != nil {
		return reply{}, err
	}
	want := body.Instance
	if err := checkRegister(want); err != nil {
		return reply{}, err
	}
	if !r.caller.Admin {
		return reply{}, coffer.E(coffer.KindForbidden, "register the instance", "only an admin may: it names servers and files of the agent's machine").
			WithHint("ask the operator to register the server in this project")
	}
	if len(a.Stores) == 0 || a.Prober == nil {
		return reply{}, coffer.E(coffer.KindUnsupported, "register the instance", "this server has no store for backups").
			WithHint("name one in its configuration")
	}
	agent, err := a.chooseAgent(r, want.Agent)
	if err != nil {
		return reply{}, err
	}
	in := coffer.Instance{
		ID: coffer.InstanceID(coffer.NewUUID()), Project: r.project(), Name: want.Name, Kind: coffer.Registered,
		Agent: agent, Status: "ACTIVE", Created: a.Now(),
	}
	seen, err := a.probe(r, in, want.Conn)
	if err != nil {
		return reply{}, err
	}
	in.Conn, in.Datastore = seen.Conn, seen.Datastore
	in.Datastore.VersionID = versionID(in.Datastore)
	in.VolumeGiB = int((seen.DataBytes + 1<<30 - 1) >> 30)
	if a.Keys != nil {
		if in.Key, in.Recipient, err = a.Keys.NewDataKey(r.Context(), a.Stores[0], in.Project, in.ID); err != nil {
			return reply{}, coffer.Wrap("make the instance's data key", err)
		}
	}
	if err := a.Records.CreateInstance(r.Context(), in); err != nil {
		return reply{}, err
	}
	in.Updated = in.Created
	return reply{http.StatusCreated, rest.InstanceBody{Instance: ownInstanceView(in), Warnings: seen.Warnings}}, nil
}

func checkRegister(w rest.Register) error {
	const op = "read the registration"
	c := w.Conn
	switch {
	case w.Name == "" || utf8.RuneCountInString(w.Name) > 255:
		return coffer.E(coffer.KindInvalid, op, "a name has 1 to 255 characters")
	case (c.Socket == "") == (c.Host == ""):
		return coffer.E(coffer.KindInvalid, op, "name either the server's socket or its host")
	case c.Socket != "" && !strings.HasPrefix(c.Socket, "/"):
		return coffer.E(coffer.KindInvalid, op, "the socket %q is not an absolute path", c.Socket)
	case c.Host != "" && (c.Port < 1 || c.Port > 65535):
		return coffer.E(coffer.KindInvalid, op, "%d is no port", c.Port)
	case c.CredentialsFile != "" && !strings.HasPrefix(c.CredentialsFile, "/"):
		return coffer.E(coffer.KindInvalid, op, "the credentials' file %q is not an absolute path", c.CredentialsFile)
	}
	return c.Polite.Check()
}

// agentIDs names some agents.
func agentIDs(agents []coffer.Agent) string {
	var ids []string
	for _, a := range agents[:min(len(agents), 10)] {
		ids = append(ids, string(a.ID))
	}
	return strings.Join(ids, ", ")
}

// chooseAgent is the agent that was named, or the only one there is.
func (a *api) chooseAgent(r request, id coffer.AgentID) (coffer.AgentID, error) {
	if id != "" {
		return id, a.knownAgent(r, id)
	}
	agents, err := a.Records.Agents(r.Context())
	if err != nil {
		return "", err
	}
	switch len(agents) {
	case 1:
	case 0:
		return "", coffer.E(coffer.KindInvalid, "choose the agent", "no agent has joined this server yet").
			WithHint("start one beside the database: coffer agent --server DIR")
	default:
		return "", coffer.E(coffer.KindInvalid, "choose the agent", "there are %d agents: name the one beside the database", len(agents)).
			WithHint("its id: %s", agentIDs(agents))
	}
	return agents[0].ID, nil
}

// probe has the agent look at the server and reads its object back. Whatever
// stands in the way is the instance's trouble: 422, with the reason.
func (a *api) probe(r request, in coffer.Instance, conn coffer.Conn) (message.RegisterReply, error) {
	const op = "register the instance"
	ctx, stop := context.WithTimeout(r.Context(), registerTimeout)
	defer stop()
	seen, err := message.Register.Call(ctx, a.Bus, message.HostAgent(in.Agent), message.RegisterArgs{
		Instance: in.ID, Project: in.Project, Conn: conn, StoreName: a.Stores[0],
	})
	if err != nil {
		return seen, coffer.E(coffer.KindUnprocessable, op, "%w", err).WithHint("%s", coffer.HintOf(err))
	}
	if err := a.Prober.ReadProbe(ctx, a.Stores[0], seen.ProbeObject, seen.ProbeSHA256); err != nil {
		return seen, coffer.E(coffer.KindUnprocessable, op, "what the agent wrote into store %s cannot be read back here: %w", a.Stores[0], err).
			WithHint("let the agent and the server name the same place in store %s", a.Stores[0])
	}
	return seen, nil
}

func (a *api) agentList(r request) (reply, error) {
	rows, err := a.Records.Agents(r.Context())
	if err != nil {
		return reply{}, err
	}
	out := rest.Agents{Agents: []rest.Agent{}}
	for _, g := range rows {
		out.Agents = append(out.Agents, rest.Agent{
			ID: g.ID, Version: g.Version, Host: g.Host, DataDir: g.DataDir, Free: g.Free, SeenAt: g.Seen.UTC(),
		})
	}
	return reply{http.StatusOK, out}, nil
}

// sweep looks over the stores at once. It is an admin's: a sweep sees every
// project.
func (a *api) sweep(r request) (reply, error) {
	if !r.caller.Admin {
		return reply{}, coffer.E(coffer.KindForbidden, "sweep the stores", "only an admin may")
	}
	if a.Sweeper == nil {
		return reply{}, coffer.E(coffer.KindUnsupported, "sweep the stores", "this server has no task manager")
	}
	out, err := a.Sweeper.Sweep(r.Context())
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, rest.SweepBody{Sweep: out}}, nil
}
