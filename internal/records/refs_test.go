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
			held, err := raiseRefs(c2, b)
			if held != c.good {
				t.Errorf("after %s it is held: %v, want %v", c.set, held, c.good)
			}
			return err
		})
		if err != nil {
			t.Errorf("after %s: %v", c.set, err)
		}
	}
}
