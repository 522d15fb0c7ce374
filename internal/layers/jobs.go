package layers

import (
	"sync"
	"sync/atomic"
)

const (
	// A job is at most so many bytes, pieces and outputs: of a large output it is a
	// stretch, of small ones many. The files of a job stay open up to its end: those of
	// all workers are to be far fewer than the 1,024 that a process may usually have.
	jobBytes   = 64 << 20
	jobPieces  = 4096
	jobOutputs = 128
)

// job is what one worker writes in one go.
type job struct {
	pieces  []piece
	targets []*target // those of the pieces, in their order, and those without any
	bytes   int64
}

// full says that no more should be added.
func (j *job) full() bool {
	return j.bytes >= jobBytes || len(j.pieces) >= jobPieces || len(j.targets) >= jobOutputs
}

// add takes one more piece.
func (j *job) add(p piece) {
	j.pieces, j.bytes = append(j.pieces, p), j.bytes+p.n
}

// leave ends the job's part in its targets.
func (j *job) leave(opt Options, good bool) error {
	var first error
	for _, t := range j.targets {
		if err := t.leave(opt, good); err != nil && first == nil {
			first, good = err, false
		}
	}
	return first
}

// target is an output while it is written, by one worker or by several.
type target struct {
	o    *output
	jobs atomic.Int32 // that have a part of it and have not ended
	bad  atomic.Bool  // one of them has failed
	mu   sync.Mutex
	file File
}

// open gives the file, which the first caller makes.
func (t *target) open(opt Options) (File, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file != nil {
		return t.file, nil
	}
	f, err := opt.Create(t.o.name)
	if err == nil {
		t.file = f
	}
	return f, err
}

// leave ends one job's part. The last one gives the output its length, unless the plan
// has failed; an output without any bytes is made here.
func (t *target) leave(opt Options, good bool) error {
	if !good {
		t.bad.Store(true)
	}
	if t.jobs.Add(-1) > 0 {
		return nil
	}
	good = !t.bad.Load()
	var err error
	if good {
		var f File
		if f, err = t.open(opt); err == nil {
			err = f.Truncate(t.o.size)
		}
	}
	if t.file == nil {
		return err
	}
	if cerr := t.file.Close(); err == nil && good {
		err = cerr
	}
	return err
}

// jobs plans all jobs and hands them on, in the order in which the outputs lie, until
// one is not taken.
func (p *Plan) jobs(opt Options, hand func(*job) bool) error {
	j := &job{}
	next := func(more ...*target) bool {
		for _, t := range more {
			t.jobs.Add(1) // before j is taken, which may end at once
		}
		taken := hand(j)
		if !taken {
			_ = j.leave(opt, false) // the plan has failed already
		}
		j = &job{targets: more}
		return taken
	}
	for _, o := range p.outputs {
		t := &target{o: o}
		t.jobs.Add(1)
		j.targets = append(j.targets, t)
		for x, err := range o.pieces(p.spool) {
			if err != nil {
				_ = j.leave(opt, false)
				return err
			}
			for x.n > 0 {
				part := x.cut(jobBytes)
				j.add(part)
				x.at, x.plain, x.n = x.at+part.n, x.plain+part.n, x.n-part.n
				if j.full() && o.edge(part.at+part.n) && !next(t) {
					return j.leave(opt, false)
				}
			}
		}
		if j.full() && !next() {
			return nil
		}
	}
	next()
	return nil
}

// cut is the piece up to n bytes, or a little less: it ends where a page does. What is
// checked as a whole stays whole.
func (p piece) cut(n int64) piece {
	if p.head == 0 && p.n > n {
		p.n = n - (p.at+n)%p.o.pageSize
	}
	return p
}

// edge says that no page of the output goes on at an offset.
func (o *output) edge(at int64) bool { return o.pageSize == 0 || at%o.pageSize == 0 }
