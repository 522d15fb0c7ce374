package s3_test

import (
	"os"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive/archivetest"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/s3"
	"github.com/cofferdb/coffer/internal/store/storetest"
	"github.com/cofferdb/coffer/internal/testenv"
)

// versity is an S3 server of another make than radosgw: it knows conditional writes.
var versity = testenv.Share(func() (*testenv.VersityServer, error) {
	return testenv.StartVersity("../../../tools/s3/go.mod")
})

// versityOnly is for the long run: the server takes a minute and a half to build.
func versityOnly(t *testing.T) {
	t.Helper()
	if os.Getenv("COFFER_HEAVY") != "1" {
		t.Skip("COFFER_HEAVY is not 1")
	}
}

// versityPlaces makes stores that share one bucket, each under a prefix of its own.
func versityPlaces(t *testing.T, bucket string) func(t *testing.T) place {
	v := versity.For(t)
	o := s3.Options{Endpoint: v.URL, CredentialsFile: keyFile(t, v.Access, v.Secret), Bucket: bucket, Create: true}
	return func(t *testing.T) place {
		mine := o
		mine.Prefix = coffer.NewNonce() + "/"
		return place{open(t, mine), mine}
	}
}

// insists is a store whose server takes no small parts.
type insists struct{ place }

// LeastPart is what the suite's parts have to have.
func (insists) LeastPart() int { return 5 << 20 }

func (i insists) Reopen(t *testing.T) store.Full { return insists{place{open(t, i.opts), i.opts}} }

func TestHeavyVersity(t *testing.T) {
	versityOnly(t)
	t.Parallel()
	next := versityPlaces(t, "law-plain")
	storetest.Run(t, func(t *testing.T) store.Full { return insists{next(t)} })
}

func TestHeavyVersityWriteOnce(t *testing.T) {
	versityOnly(t)
	t.Parallel()
	next := versityPlaces(t, "law-once")
	storetest.RunWriteOnce(t, func(t *testing.T) store.Full {
		return onceInsists{storetest.WriteOnce(next(t).Store, time.Now().Add(24*time.Hour))}
	})
}

type onceInsists struct{ store.Full }

// LeastPart is what the suite's parts have to have.
func (onceInsists) LeastPart() int { return 5 << 20 }

// TestHeavyVersityFaults is what an archive survives on this server.
func TestHeavyVersityFaults(t *testing.T) {
	versityOnly(t)
	s := siteOf(t, versityPlaces(t, "faults")(t))
	s.Part = 5 << 20
	archivetest.Matrix(t, s)
}
