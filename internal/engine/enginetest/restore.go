package enginetest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

// Restore puts the rows of all layers into one file of target.Dir.
func (f *Fake) Restore(ctx context.Context, target engine.Target, layers []engine.Layer) error {
	const op = "restore the fake database"
	if f.RestoreErr != nil {
		return coffer.Wrap(op, f.RestoreErr)
	}
	if len(layers) == 0 {
		return coffer.E(coffer.KindInvalid, op, "no layers")
	}
	var rows []string
	for _, l := range layers {
		var err error
		if rows, err = addLayer(ctx, rows, l); err != nil {
			return coffer.Wrap("restore backup "+string(l.Backup()), err)
		}
		if target.Progress != nil {
			target.Progress(engine.Progress{Phase: "unpack", Plain: l.PlainBytes()})
		}
	}
	b, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	path := filepath.Join(target.Dir, fakeFile)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return coffer.Wrap(op, err)
	}
	if os.Getuid() == 0 && target.UID != 0 {
		if err := os.Chown(path, target.UID, target.GID); err != nil {
			return coffer.Wrap(op, err)
		}
	}
	if target.Sealed != nil {
		return target.Sealed(time.Now())
	}
	return nil
}

// addLayer appends a layer's rows to those of the layers beneath it.
func addLayer(ctx context.Context, rows []string, l engine.Layer) ([]string, error) {
	const op = "read a layer"
	r, err := l.Stream(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	dec := json.NewDecoder(r)
	for first, ended := true, false; ; first = false {
		var line fakeLine
		err := dec.Decode(&line)
		switch {
		case errors.Is(err, io.EOF) && ended:
			return rows, r.Close()
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, coffer.E(coffer.KindCorrupt, op, "the stream ends too early")
		case err != nil:
			return nil, coffer.Wrap(op, err)
		case first && (line.From == nil || *line.From != len(rows)):
			return nil, coffer.E(coffer.KindCorrupt, op, "it does not follow the layer before it (%d rows)", len(rows))
		case line.Row != nil:
			rows = append(rows, *line.Row)
		case line.End != nil && *line.End != len(rows):
			return nil, coffer.E(coffer.KindCorrupt, op, "%d rows, want %d", len(rows), *line.End)
		}
		ended = ended || line.End != nil
	}
}
