package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/api"
	"github.com/cofferdb/coffer/internal/auth"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/bus/amqp"
	"github.com/cofferdb/coffer/internal/conductor"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/settle"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/file"
	"github.com/cofferdb/coffer/internal/taskmanager"
)

// stationEnv holds the station that a child process is to be.
const stationEnv = "COFFER_BENCH_STATION"

// profileEnv names a folder for the CPU profiles of stations.
const profileEnv = "COFFER_BENCH_PROFILE"

// station is one role of the control plane in a process of its own, as coffer api,
// taskmanager or conductor is, so that its memory and CPU can be told apart.
type station struct {
	Role     string // "api", "taskmanager" or "conductor"
	Procs    int    // cores that its Go code may use; 0 is all
	Records  string // the address of PostgreSQL
	Password string
	Broker   string        // host:port
	Store    string        // folder
	Lease    time.Duration // of a task manager; 0 is the usual
}

// account is what a station says of itself since it was last asked.
type account struct {
	URL    string             // of an API
	CPU    time.Duration      // used
	Peak   int64              // bytes, since its start
	Count  int                // messages handled
	Median map[string]float64 // ms, by method
	P99    map[string]float64
	Max    float64 // ms, of all
}

// beStation runs the role until stdin ends, and gives the exit code. Each line on
// stdin asks for an account.
func beStation(spec string) int {
	err := func() error {
		var s station
		if err := json.Unmarshal([]byte(spec), &s); err != nil {
			return err
		}
		if s.Procs > 0 {
			runtime.GOMAXPROCS(s.Procs)
		}
		if dir := os.Getenv(profileEnv); dir != "" {
			f, err := os.Create(filepath.Join(dir, s.Role+".pprof"))
			if err != nil {
				return err
			}
			defer f.Close()
			if err := pprof.StartCPUProfile(f); err != nil {
				return err
			}
			defer pprof.StopCPUProfile()
		}
		return s.run(context.Background())
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err, coffer.HintOf(err))
		return 1
	}
	return 0
}

func (s station) run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	db, err := records.OpenSource(ctx, records.Source{URL: s.Records, Password: s.Password})
	if err != nil {
		return err
	}
	defer db.Close()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	wire, err := amqp.Dial(ctx, wire(s.Broker, log))
	if err != nil {
		return err
	}
	defer wire.Close()
	b := &timed{Bus: wire}
	g, ctx := errgroup.WithContext(ctx)
	url, err := s.start(ctx, g, db, b, log)
	if err != nil {
		return err
	}
	if err := s.answer(url, b); err != nil {
		return err
	}
	stop()
	return g.Wait()
}

// start begins the role and returns when it serves.
func (s station) start(ctx context.Context, g *errgroup.Group, db *records.DB, b bus.Bus, log *slog.Logger) (url string, err error) {
	files, err := newFolders(s.Store)
	if err != nil {
		return "", err
	}
	settler := &settle.Settler{Records: db, Stores: files, Now: time.Now}
	served := make(chan struct{})
	ready := func() { close(served) }
	switch s.Role {
	case "conductor":
		c := &conductor.Conductor{Records: db, Bus: b, Settler: settler, Log: log, Now: time.Now}
		g.Go(func() error { return c.Run(ctx, ready) })
	case "taskmanager":
		t := &taskmanager.TaskManager{
			ID: coffer.AgentID(coffer.NewUUID()), Boot: coffer.NewNonce(), Records: db, Bus: b, Stores: files,
			Settler: settler, Log: log, Now: time.Now, Timings: taskmanager.Timings{Lease: s.Lease, Sweep: time.Hour},
		}
		g.Go(func() error { return t.Run(ctx, ready) })
	case "api":
		who, err := auth.NewStatic([]auth.Entry{{Token: apiToken, Project: auth.LocalProject, User: "bench", Roles: []string{auth.AdminRole}}})
		if err != nil {
			return "", err
		}
		h := api.New(api.Config{Records: db, Bus: b, Auth: who, Stores: []string{"main"}, Quota: -1, Log: log})
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		web := api.Server(h, log)
		go web.Serve(ln) // until Close
		context.AfterFunc(ctx, func() { web.Close() })
		return "http://" + ln.Addr().String(), nil
	default:
		return "", fmt.Errorf("no role %q", s.Role)
	}
	select {
	case <-served:
		return "", nil
	case <-ctx.Done():
		return "", errors.Join(ctx.Err(), g.Wait())
	}
}

// answer gives an account at once, and for each line on stdin.
func (s station) answer(url string, b *timed) error {
	in, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	var before time.Duration
	for more := true; more; more = in.Scan() {
		a := b.account()
		now := ownCPU()
		a.URL, a.CPU, a.Peak = url, now-before, highWater(os.Getpid())
		before = now
		if err := out.Encode(a); err != nil {
			return err
		}
	}
	return in.Err()
}

func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// folders is the one store of a benchmark, "main", below a folder.
type folders struct {
	store.Full
	dir string
}

func newFolders(dir string) (folders, error) {
	f, err := file.New(dir, file.Options{})
	return folders{f, dir}, err
}

// Open implements settle.Stores and agent.Stores.
func (f folders) Open(context.Context, string) (store.Full, error) { return f.Full, nil }

// URL implements settle.Stores.
func (f folders) URL(_, object string) string {
	return "file://" + strings.TrimSuffix(f.dir, "/") + "/" + object
}
