package model

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cofferdb/coffer"
)

// TestHistories plays seeded random histories of the job life cycle. COFFER_SEED
// replays one, COFFER_HISTORIES says how many.
func TestHistories(t *testing.T) {
	t.Parallel()
	if s := os.Getenv("COFFER_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		playSeed(t, seed)
		return
	}
	n := 60
	if slow || testing.Short() {
		n = 10
	}
	if s := os.Getenv("COFFER_HISTORIES"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	playMany(t, uint64(time.Now().UnixNano()), n)
}

// TestHeavyHistories plays ten thousand, or a thousand under the race detector.
func TestHeavyHistories(t *testing.T) {
	if os.Getenv("COFFER_HEAVY") == "" {
		t.Skip("COFFER_HEAVY is not set")
	}
	t.Parallel()
	n := 10_000
	if slow {
		n = 1_000
	}
	playMany(t, uint64(time.Now().UnixNano()), n)
}

func playMany(t *testing.T, first uint64, n int) {
	t.Logf("seeds from %d", first)
	for k := range uint64(n) {
		seed := first + k
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			playSeed(t, seed)
		})
	}
}

func playSeed(t *testing.T, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, seed)
		defer w.close()
		h := &history{
			world: w, rng: rand.New(rand.NewPCG(seed, 1)),
			known: map[coffer.BackupID]string{}, stale: map[coffer.BackupID]bool{},
		}
		defer w.fatalOnError(t, seed)
		h.play(20 + h.rng.IntN(20))
	})
}
