package testenv_test

import (
	"errors"
	"testing"

	"github.com/cofferdb/coffer/internal/testenv"
)

// counted is a server that counts its ends.
type counted struct{ ends *int }

func (c counted) Stop() { *c.ends++ }

func TestSharedStartsOnceAndEndsWhatItStarted(t *testing.T) {
	t.Parallel()
	starts, ends := 0, 0
	s := testenv.Share(func() (counted, error) {
		starts++
		return counted{&ends}, nil
	})
	s.For(t)
	s.For(t)
	s.Stop()
	if starts != 1 || ends != 1 {
		t.Errorf("%d starts and %d ends, want one of each", starts, ends)
	}
	unused := testenv.Share(func() (counted, error) {
		starts++
		return counted{&ends}, nil
	})
	unused.Stop()
	broken := testenv.Share(func() (counted, error) { return counted{&ends}, errors.New("no") })
	if _, err := broken.Get(); err == nil {
		t.Error("no error of a start that failed")
	}
	broken.Stop()
	if starts != 1 || ends != 1 {
		t.Errorf("%d starts and %d ends, though nothing more was started", starts, ends)
	}
}
