package records

import (
	"context"
	"testing"

	"github.com/cofferdb/coffer"
)

// TestRaiseRefsAlone: the conditional change holds by itself, without the look
// before it that gives the better message. Databases with several writers need it.
func TestRaiseRefsAlone(t *testing.T) {
	t.Parallel()
	d := openTemp(t)
	err := d.CreateInstance(t.Context(), coffer.Instance{ID: "i", Project: "p", Name: "n"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.CreateBackup(t.Context(), NewBackup{Project: "p", Instance: "i", Name: "n", Store: "s", Quota: -1})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		set  string
		good bool
	}{
		{`state = 'NEW'`, false},
		{`state = 'COMPLETED'`, true},
		{`state = 'RESTORED'`, true},
		{`deleting = 1`, false},
		{`deleting = 0, deleted = 1`, false},
		{`deleted = 0, state = 'DELETE_FAILED'`, false},
	} {
		err := d.write(context.Background(), "try", func(c2 conn) error {
			if _, err := c2.exec(`UPDATE backups SET ` + c.set); err != nil {
				return err
			}
			return raiseRefs(c2, b)
		})
		if (err == nil) != c.good {
			t.Errorf("after %s: %v, want good %v", c.set, err, c.good)
		}
		if !c.good && !coffer.IsKind(err, coffer.KindConflict) {
			t.Errorf("after %s: kind %q", c.set, coffer.KindOf(err))
		}
		// What was refused was undone: set it for the next case.
		if _, err := d.writer.ExecContext(t.Context(), `UPDATE backups SET `+c.set); err != nil {
			t.Fatal(err)
		}
	}
}
