package taskmanager

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
)

// Caps bound how many jobs run at once; 0 is no limit. An excess job stays NEW, says
// in its phase what it waits for, and is rung for in its turn. Deletes are not
// counted: they set space free, and deletes wait for deletes.
//
// The counts are read from the rows before a bell is rung, and this process's own
// bells that are not claimed yet count too. Several task managers that ring in the
// same instant do not see each other's: for as long as a claim takes, at most one
// cap's worth of jobs for each further task manager may run beyond it, and none is
// rung for until the count has fallen. An exact cap would have to be part of the
// claim's UPDATE, as a counted row per host, store and fleet that every end gives
// back: a cap is politeness and not a promise, so no claim pays for it.
type Caps struct {
	Host  int // backups and restores beside one agent
	Store int // backups, restores and verifies on one store
	Fleet int // of these in all
}

// beside reports whether a job runs beside a database, on an agent.
func beside(k coffer.JobKind) bool { return k == coffer.JobBackup || k == coffer.JobRestore }

// load is what runs at one moment, and what is about to.
type load struct {
	hosts    map[coffer.AgentID]int
	stores   map[string]int
	projects map[coffer.ProjectID]int
	fleet    int
	held     int  // of these, bells that were heard and not answered yet
	checked  bool // those were compared with the rows
}

// uncounted reports whether what runs makes no difference to some due jobs: nothing is
// capped, no project goes before another, and no host is to be chosen.
func (t *TaskManager) uncounted(due []coffer.Job) bool {
	return t.Caps == Caps{} && !slices.ContainsFunc(due, func(j coffer.Job) bool {
		return j.Kind == coffer.JobRestore || j.Project != due[0].Project
	})
}

// weigh counts what runs, for some due jobs, and this process's bells that nobody has
// answered yet.
func (t *TaskManager) weigh(ctx context.Context, due []coffer.Job, now time.Time) (*load, error) {
	l := &load{hosts: map[coffer.AgentID]int{}, stores: map[string]int{}, projects: map[coffer.ProjectID]int{}}
	if t.uncounted(due) {
		return l, nil
	}
	jobs, err := t.Records.Running(ctx)
	if err != nil {
		return nil, coffer.Wrap("list running jobs", err)
	}
	running := map[coffer.JobID]bool{}
	for _, j := range jobs {
		running[j.ID] = true
		if j.Kind == coffer.JobDelete || j.Lost {
			continue
		}
		store, err := t.storeOf(ctx, j)
		if err != nil {
			return nil, err
		}
		l.add(j.Kind, j.Project, j.Runner.Agent(), store)
	}
	for id := range t.storesOf {
		if !running[id] {
			delete(t.storesOf, id)
		}
	}
	for id, b := range t.bells {
		if b.held(now) && !running[id] {
			l.add(b.kind, b.project, b.host, b.store)
			l.held++
		}
	}
	return l, nil
}

func (l *load) add(k coffer.JobKind, p coffer.ProjectID, host coffer.AgentID, store string) {
	if k == coffer.JobDelete {
		return
	}
	if beside(k) {
		l.hosts[host]++
	}
	l.stores[store]++
	l.projects[p]++
	l.fleet++
}

// recheck lets go of the bells whose job was claimed and has ended since, and counts
// again. It is for when a cap seems to be reached.
func (t *TaskManager) recheck(ctx context.Context, l *load, now time.Time) error {
	if l.checked || l.held == 0 {
		return nil
	}
	// What is NEW is read before what runs: a claim in between is found there.
	jobs, err := t.Records.Due(ctx, t.Now().Add(records.Horizon), records.MaxPage)
	if err != nil {
		return coffer.Wrap("list the jobs that wait", err)
	}
	waits := map[coffer.JobID]bool{}
	for _, j := range jobs {
		waits[j.ID] = true
	}
	for id, b := range t.bells {
		if b.held(now) && !waits[id] {
			b.told = time.Time{}
		}
	}
	again, err := t.weigh(ctx, jobs, now)
	if err != nil {
		return err
	}
	*l = *again
	l.checked = true
	return nil
}

// storeOf is the store of the backup that a job makes or reads. It is asked only
// while a cap counts it.
func (t *TaskManager) storeOf(ctx context.Context, j coffer.Job) (string, error) {
	if t.Caps.Store <= 0 {
		return "", nil
	}
	if s, ok := t.storesOf[j.ID]; ok {
		return s, nil
	}
	b, err := t.Records.BackupByID(ctx, j.Backup)
	if err != nil {
		return "", coffer.Wrap("read the backup of a job", err)
	}
	t.storesOf[j.ID] = b.Store
	return b.Store, nil
}

// full is why a job has to wait, or "".
func (l *load) full(caps Caps, j coffer.Job, b *bell) string {
	over := func(limit, n int) bool { return limit > 0 && n >= limit }
	switch {
	case j.Kind == coffer.JobDelete:
	case beside(j.Kind) && over(caps.Host, l.hosts[b.host]):
		return fmt.Sprintf("waits: %d of %d jobs run on host %s", l.hosts[b.host], caps.Host, b.host)
	case over(caps.Store, l.stores[b.store]):
		return fmt.Sprintf("waits: %d of %d jobs use store %s", l.stores[b.store], caps.Store, b.store)
	case over(caps.Fleet, l.fleet):
		return fmt.Sprintf("waits: %d of %d jobs run", l.fleet, caps.Fleet)
	}
	return ""
}
