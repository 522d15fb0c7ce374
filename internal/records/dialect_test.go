package records

import "testing"

func TestBind(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`SELECT 1`:                               `SELECT 1`,
		`UPDATE t SET a = ?, b = 'x?' WHERE c=?`: `UPDATE t SET a = $1, b = 'x?' WHERE c=$2`,
		`VALUES (?, '', ?, 'it''s ?', ?)`:        `VALUES ($1, '', $2, 'it''s ?', $3)`,
	} {
		if got := postgresDialect.bind(in); got != want {
			t.Errorf("%s is bound as %s, want %s", in, got, want)
		}
		if got := mysqlDialect.bind(in); got != in {
			t.Errorf("%s is bound as %s, want it as it was", in, got)
		}
	}
}
