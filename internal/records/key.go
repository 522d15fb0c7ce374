package records

import (
	"context"
	"encoding/base64"

	"github.com/cofferdb/coffer"
)

// PutKey keeps one generation of a wrapped data key. The same again is no error.
func (d *DB) PutKey(ctx context.Context, id coffer.KeyID, gen int, wrapped []byte) error {
	return d.write(ctx, "keep the wrapped data key", func(c conn) error {
		body := base64.StdEncoding.EncodeToString(wrapped)
		known, err := c.changed(`UPDATE data_keys SET wrapped = ? WHERE id = ? AND gen = ?`, body, id, gen)
		if err != nil || known {
			return err
		}
		_, err = c.exec(`INSERT INTO data_keys (wrapped, id, gen) VALUES (?, ?, ?)`, body, id, gen)
		return err
	})
}

// Key gives the newest wrap of a data key, or KindNotFound.
func (d *DB) Key(ctx context.Context, id coffer.KeyID) (gen int, wrapped []byte, err error) {
	const op = "read the wrapped data key"
	type wrap struct {
		gen  int
		body string
	}
	out, err := many(d.reading(ctx), func(r row) (w wrap, err error) {
		return w, r.Scan(&w.gen, &w.body)
	}, `SELECT gen, wrapped FROM data_keys WHERE id = ? ORDER BY gen DESC LIMIT 1`, id)
	if err != nil {
		return 0, nil, coffer.Wrap(op, err)
	}
	if len(out) == 0 {
		return 0, nil, coffer.E(coffer.KindNotFound, op, "the records hold no key %s", id)
	}
	wrapped, err = base64.StdEncoding.DecodeString(out[0].body)
	if err != nil {
		return 0, nil, coffer.E(coffer.KindCorrupt, op, "key %s: %w", id, err)
	}
	return out[0].gen, wrapped, nil
}
