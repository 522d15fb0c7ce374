package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/s3"
	"github.com/cofferdb/coffer/internal/store/swift"
)

const (
	shipEnv  = "COFFER_BENCH_SHIP"  // a shipment: the child stores its stdin
	noiseEnv = "COFFER_BENCH_NOISE" // a number: the child writes as many bytes
)

// shipment is where a child stores what it reads.
type shipment struct {
	Kind   string // "swift" or "s3"
	URL    string
	Secret string // a file
	Dir    string // for the spool
}

// ship carries a shipment out and gives the exit code.
func ship(spec string) int {
	var s shipment
	err := json.Unmarshal([]byte(spec), &s)
	if err == nil {
		err = s.run(context.Background(), os.Stdin)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err, coffer.HintOf(err))
		return 1
	}
	return 0
}

func (s shipment) open() (store.Full, error) {
	if s.Kind == "s3" {
		return s3.New(s3.Options{Endpoint: s.URL, CredentialsFile: s.Secret, Bucket: "bench", Create: true})
	}
	return swift.New(swift.Options{Auth: swift.Auth{URL: s.URL, V1: true, User: "test:tester", SecretFile: s.Secret}, Container: "bench", Create: true})
}

// run is an agent's way from a stream to the manifest, with its usual bounds.
func (s shipment) run(ctx context.Context, in io.Reader) error {
	debug.SetMemoryLimit(192 << 20) // as the program does on two cores
	st, err := s.open()
	if err != nil {
		return err
	}
	id, instance := coffer.BackupID(coffer.NewUUID()), coffer.InstanceID(coffer.NewUUID())
	w, err := archive.Create(ctx, archive.Place{Store: st}, archive.Intent{
		Installation: "bench", Backup: id, Project: "bench", Instance: instance, Runner: "bench/1",
	}, archive.Options{SpoolDir: s.Dir})
	if err != nil {
		return err
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{w}, in, make([]byte, 256<<10)); err != nil {
		return errors.Join(err, w.Abort(ctx))
	}
	if _, err := w.Finish(ctx, archive.Manifest{
		Installation: "bench", Backup: id, Runner: "bench/1", Project: "bench", Instance: instance, Tool: "noise", Method: "mariabackup",
		Datastore: coffer.Datastore{Type: "mariadb", Version: "10.11"}, Root: id, Started: time.Now().UTC(), Finished: time.Now().UTC(),
	}); err != nil {
		return errors.Join(err, w.Abort(ctx))
	}
	if done, err := w.Commit(ctx); done != archive.Done {
		return fmt.Errorf("the commit is %s: %w", done, err)
	}
	return nil
}

// noise writes bytes that cannot be compressed, and gives the exit code.
func noise(spec string) int {
	n, err := strconv.ParseInt(spec, 10, 64)
	if err == nil {
		w := bufio.NewWriterSize(os.Stdout, 256<<10)
		if _, err = io.CopyN(w, rand.NewChaCha8([32]byte{4}), n); err == nil {
			err = w.Flush()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "make the stream:", err)
		return 1
	}
	return 0
}
