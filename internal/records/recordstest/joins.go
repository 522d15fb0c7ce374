package recordstest

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
)

func testJoins(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	j := records.Join{TokenHash: sum, Project: ours, Instance: "i", Created: w.now(), Expires: w.now().Add(time.Hour)}
	w.must(db.CreateJoin(w.ctx, j))
	w.want(coffer.KindExists, db.CreateJoin(w.ctx, j))
	w.want(coffer.KindInvalid, db.CreateJoin(w.ctx, records.Join{TokenHash: other}))
	_, err := db.RedeemJoin(w.ctx, other, "a", w.now())
	w.want(coffer.KindNotFound, err)
	_, err = db.RedeemJoin(w.ctx, sum, "", w.now())
	w.want(coffer.KindInvalid, err)
	late := j.Expires.Add(time.Second)
	_, err = db.RedeemJoin(w.ctx, sum, "a", late)
	w.want(coffer.KindForbidden, err)
	if coffer.HintOf(err) == "" {
		t.Error("no hint says what to do about an expired token")
	}
	at := w.now()
	got, err := db.RedeemJoin(w.ctx, sum, "a", at)
	w.must(err)
	want := j
	want.Agent, want.Used = "a", at
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the join differs (-want +got):\n%s", d)
	}
	for _, again := range []time.Time{w.now(), late} {
		got, err = db.RedeemJoin(w.ctx, sum, "a", again)
		w.must(err)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("the same agent is answered otherwise (-want +got):\n%s", d)
		}
	}
	_, err = db.RedeemJoin(w.ctx, sum, "b", w.now())
	w.want(coffer.KindConflict, err)

	n, err := db.PruneJoins(w.ctx, j.Expires)
	w.must(err)
	gone, err := db.PruneJoins(w.ctx, late)
	w.must(err)
	if n != 0 || gone != 1 {
		t.Errorf("forgot %d before the end and %d after it, want 0 and 1", n, gone)
	}
	_, err = db.RedeemJoin(w.ctx, sum, "a", w.now())
	w.want(coffer.KindNotFound, err)
}

func testRaceJoin(t *testing.T, db *records.DB) {
	w := newWorld(t, db)
	w.must(db.CreateJoin(w.ctx, records.Join{TokenHash: sum, Project: ours, Expires: w.now().Add(time.Hour)}))
	var won atomic.Int32
	var fs []func()
	for i := range 20 {
		agent := coffer.AgentID(fmt.Sprintf("agent-%d", i))
		fs = append(fs, func() {
			_, err := db.RedeemJoin(w.ctx, sum, agent, w.at)
			switch {
			case err == nil:
				won.Add(1)
			case !coffer.IsKind(err, coffer.KindConflict):
				t.Errorf("redeem: %v", err)
			}
		})
	}
	together(fs...)
	if won.Load() != 1 {
		t.Errorf("%d agents joined with one token", won.Load())
	}
}
