package agent

import (
	"strings"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/message"
)

// TestAnIncrementThatCannotBeSaysSo: the diary has the event by which somebody takes a
// full, with the reason.
func TestAnIncrementThatCannotBeSaysSo(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.begin()
	o := backupOrder()
	parent := message.Link{Backup: coffer.BackupID(coffer.NewUUID()), Store: "s", ManifestSHA256: "m"}
	o.Parent, o.Chain = &parent, []message.Link{parent}
	word := d.run(o)
	if word.Outcome != message.Failed || word.Kind != coffer.KindNeedFull {
		t.Fatalf("%+v", word)
	}
	for _, e := range word.Events {
		if e.Code == "take_full" && e.Level == coffer.Warn && strings.Contains(e.Text, string(parent.Backup)) {
			return
		}
	}
	t.Errorf("no event says that a full is needed: %+v", word.Events)
}
