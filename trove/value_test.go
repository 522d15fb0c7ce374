package trove_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/cofferdb/coffer/trove"
)

func TestValuesInTrovesForm(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 4, 4, 5, 999, time.FixedZone("", 3600))
	for want, v := range map[string]any{
		`"2026-01-02T03:04:05"`: trove.Time{Time: at}, `null`: trove.Time{},
		`1.0`: trove.GiB(1), `0.12`: trove.GiB(0.12), `1500000.0`: trove.GiB(1.5e6),
	} {
		if got, err := json.Marshal(v); err != nil || string(got) != want {
			t.Errorf("%v: %s, want %s (%v)", v, got, want, err)
		}
	}
}

func TestTimesAreRead(t *testing.T) {
	t.Parallel()
	want := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, in := range []string{`"2026-01-02T03:04:05"`, `"2026-01-02T03:04:05Z"`, `"2026-01-02T03:04:05.250000"`} {
		var got trove.Time
		if err := json.Unmarshal([]byte(in), &got); err != nil || !got.Truncate(time.Second).Equal(want) {
			t.Errorf("%s: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{`null`, `""`} {
		got := trove.Time{Time: want}
		if err := json.Unmarshal([]byte(in), &got); err != nil || !got.IsZero() {
			t.Errorf("%s: %v, %v", in, got, err)
		}
	}
	var bad trove.Time
	if json.Unmarshal([]byte(`"soon"`), &bad) == nil {
		t.Error("\"soon\" was read as a time")
	}
}
