package records

import (
	"context"
)

const pruneBatch = 500 // rows that one transaction removes

// inBatches repeats a bounded removal, each in a transaction of its own so that
// nobody waits long, until it finds nothing more.
func (d *DB) inBatches(ctx context.Context, op string, remove func(conn) (int64, error)) (int, error) {
	total := 0
	for {
		var n int64
		err := d.write(ctx, op, func(c conn) (err error) {
			n, err = remove(c)
			return err
		})
		if err != nil {
			return total, err
		}
		if n == 0 {
			return total, nil
		}
		total += int(n)
	}
}
