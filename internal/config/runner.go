package config

import (
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

// Runner is how backups are made, as the section says it; its error is the first
// key's that cannot be.
func (a Agent) Runner() (engine.Runner, error) {
	r := engine.Runner{
		Databases: a.Databases, NoAccounts: !a.Accounts,
		Polite: coffer.Polite{
			Bandwidth: int64(a.Bandwidth), Nice: a.Nice, IONice: a.IONice, Parallel: a.Parallel, Throttle: a.Throttle,
		},
		PreHook: a.PreHook, PostHook: a.PostHook, HookWait: a.HookWait,
	}
	for _, text := range a.Strategy {
		s, err := engine.ParseStrategy(text)
		if err != nil {
			return r, err
		}
		r.Strategies = append(r.Strategies, s)
	}
	for _, text := range a.Incremental {
		if err := sameMethod(text); err != nil {
			return r, err
		}
	}
	for _, text := range a.Options {
		name, list, _ := strings.Cut(text, ":")
		m, err := coffer.ParseMethod(strings.TrimSpace(name))
		if err != nil {
			return r, err
		}
		if r.Options == nil {
			r.Options = map[engine.Method][]string{}
		}
		r.Options[m] = append(r.Options[m], strings.Fields(list)...)
	}
	return r, r.Check()
}

// sameMethod takes "FULL=INCREMENT" of one method: an increment stands on nothing
// else.
func sameMethod(text string) error {
	const op = "read which method makes increments"
	full, inc, _ := strings.Cut(text, "=")
	f, err := coffer.ParseMethod(strings.TrimSpace(full))
	if err != nil {
		return err
	}
	i, err := coffer.ParseMethod(strings.TrimSpace(inc))
	switch {
	case err != nil:
		return err
	case f != i:
		return coffer.E(coffer.KindInvalid, op, "an increment by %s cannot stand on a full by %s", i.Class(true), f.Class(false))
	case !f.Increments():
		return coffer.NoIncrement(f)
	}
	return nil
}

// runner judges each key by itself, so that every problem names its own.
func (r *reader) runner() {
	a := r.c.Agent
	for key, only := range map[string]Agent{
		"backup_strategy": {Strategy: a.Strategy}, "backup_incremental_strategy": {Incremental: a.Incremental},
		"backup_runner_options": {Options: a.Options}, "dump_databases": {Databases: a.Databases},
		"nice": {Nice: a.Nice}, "ionice": {IONice: a.IONice}, "bandwidth": {Bandwidth: a.Bandwidth},
		"parallel": {Parallel: a.Parallel}, "throttle": {Throttle: a.Throttle},
		"pre_backup_hook": {PreHook: a.PreHook}, "post_backup_hook": {PostHook: a.PostHook},
	} {
		if _, err := only.Runner(); err != nil {
			r.problem("agent."+key, err.Error(), coffer.HintOf(err))
		}
	}
}
