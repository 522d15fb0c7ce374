package bench

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/cofferdb/coffer/internal/testenv"
)

// storeBytesEnv says how much is sent; by default it is storeBytes.
const storeBytesEnv = "COFFER_BENCH_STORE_BYTES"

const (
	storeBytes  = 4 << 30
	memoryBytes = 512 << 20 // at most, to a radosgw: it keeps in memory what it is sent
)

// toBeSent is the length of the stream.
func toBeSent(b testing.TB) int64 {
	text := os.Getenv(storeBytesEnv)
	if text == "" {
		return storeBytes
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1<<20 {
		b.Fatalf("%s=%q is no number of bytes, 1 MiB at least", storeBytesEnv, text)
	}
	return n
}

// sending is one way to bring a stream from stdin into a store. after takes it away.
type sending struct {
	name  string
	cmd   func() *exec.Cmd
	after func()
}

// send measures a way: the stream comes from a process of its own, whose bytes cannot
// be compressed.
func (s sending) send(b *testing.B, bytes int64) measured {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	source := exec.Command(self)
	source.Env = append(os.Environ(), noiseEnv+"="+strconv.FormatInt(bytes, 10))
	source.Stderr = os.Stderr
	r, w, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	source.Stdout = w
	cmd := s.cmd()
	cmd.Stdin = r
	if err := source.Start(); err != nil {
		b.Fatal(err)
	}
	w.Close()
	m := measure(b, cmd)
	r.Close()
	if err := source.Wait(); err != nil {
		b.Fatalf("%s did not read all of it: %v", s.name, err)
	}
	s.after()
	b.Logf("%-12s %6.1f s, %5.1f s of CPU, %4d MiB at its peak", s.name, m.wall.Seconds(), m.cpu.Seconds(), m.peak>>20)
	return m
}

// race sends the stream in every way by turns and reports how many times as fast as
// each of the others the first is.
func race(b *testing.B, turns int, bytes int64, ours sending, others ...sending) {
	ratios := map[string][]float64{}
	var peak int64
	var seconds []float64
	for range turns {
		mine := ours.send(b, bytes)
		seconds, peak = append(seconds, mine.wall.Seconds()), max(peak, mine.peak)
		for _, o := range others {
			ratios[o.name] = append(ratios[o.name], o.send(b, bytes).wall.Seconds()/mine.wall.Seconds())
		}
	}
	for _, o := range others {
		b.ReportMetric(median(ratios[o.name]), "x_"+o.name)
	}
	b.ReportMetric(median(seconds), "coffer_s")
	b.ReportMetric(float64(bytes)/1e6/median(seconds), "MB/s")
	b.ReportMetric(float64(peak)/(1<<20), "peak_MiB")
	b.ReportMetric(0, "ns/op")
}

// sender is the way of an agent's bytes: frames, parts, store, in a process of its own.
func sender(b *testing.B, o shipment) *exec.Cmd {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	spec, err := json.Marshal(o)
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), shipEnv+"="+string(spec))
	return cmd
}

func shell(line string) *exec.Cmd { return exec.Command("bash", "-euo", "pipefail", "-c", line) }

// must runs a command that is not measured.
func must(b *testing.B, cmd *exec.Cmd) {
	b.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}

// needs skips a benchmark, and says so, where a program is missing.
func needs(b *testing.B, programs ...string) {
	b.Helper()
	for _, p := range programs {
		if _, err := testenv.Look(p); err != nil {
			b.Skipf("not measured: %s is not installed", p)
		}
	}
}

// secret writes a file for nobody else.
func secret(b *testing.B, text string) string {
	b.Helper()
	file := filepath.Join(folder(b), "secret")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	return file
}

// BenchmarkSwift sends a stream to a real Swift: through Coffer's archive, by curl as
// one object, by python-swiftclient in segments of 64 MiB, and in Trove's way, each
// 2 GiB (or half of a shorter stream) first into a file and from there in one PUT.
func BenchmarkSwift(b *testing.B) {
	needs(b, "swift-proxy-server", "swift-object-server", "memcached", "curl", "swift")
	s, err := testenv.StartSwift(testenv.SwiftOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Stop()
	bytes := toBeSent(b)
	token, account := login(b, s)
	client := "swift -q -A " + s.AuthURL + " -U test:tester -K testing "
	containers(b, client)
	put := fmt.Sprintf("curl -fsS -H 'X-Auth-Token: %s' ", token)
	o := shipment{Kind: "swift", URL: s.AuthURL, Secret: secret(b, "testing"), Dir: folder(b)}
	spool := filepath.Join(folder(b), "spool")
	ours := sending{"coffer", func() *exec.Cmd { return sender(b, o) }, func() { must(b, shell(client+"delete bench")) }}
	clear := func(container string) func() {
		return func() { must(b, shell(client+"delete "+container)); must(b, shell(client+"post "+container)) }
	}
	plain := sending{"curl", func() *exec.Cmd { return shell(put + "-T - " + account + "/plain/x >/dev/null") }, clear("plain")}
	segments := sending{"swiftclient", func() *exec.Cmd {
		return shell(client + "upload --use-slo --segment-size 67108864 --segment-container segments --object-name x segments -")
	}, clear("segments")}
	trove := sending{"trove", func() *exec.Cmd {
		return shell(fmt.Sprintf("i=0; while head -c %d >%[2]s; [ -s %[2]s ]; do %[3]s -T %[2]s %[4]s/spool/x_$i >/dev/null; i=$((i+1)); done; rm %[2]s",
			min(2<<30, bytes/2), spool, put, account))
	}, clear("spool")}
	for b.Loop() {
		race(b, 3, bytes, ours, plain, segments, trove)
	}
}

// containers makes those of the other clients.
func containers(b *testing.B, client string) {
	b.Helper()
	must(b, shell(client+"post plain; "+client+"post segments; "+client+"post spool"))
}

// login is a token of Swift's own and the account's address.
func login(b *testing.B, s *testenv.SwiftServer) (token, account string) {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, s.AuthURL, nil)
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("X-Auth-User", "test:tester")
	req.Header.Set("X-Auth-Key", "testing")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	resp.Body.Close()
	return resp.Header.Get("X-Auth-Token"), resp.Header.Get("X-Storage-Url")
}

// BenchmarkRadosgwS3 sends a stream to a real radosgw by S3: through Coffer's archive,
// and by rclone rcat with parts of the same 16 MiB.
func BenchmarkRadosgwS3(b *testing.B) {
	needs(b, "ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "rclone")
	r, err := testenv.StartRadosgw(testenv.RadosgwOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Stop()
	u, err := r.User("bench")
	if err != nil {
		b.Fatal(err)
	}
	o := shipment{
		Kind: "s3", URL: r.URL, Dir: folder(b),
		Secret: secret(b, "[default]\naws_access_key_id = "+u.Access+"\naws_secret_access_key = "+u.Secret+"\n"),
	}
	config := secret(b, fmt.Sprintf("[rgw]\ntype = s3\nprovider = Ceph\nendpoint = %s\naccess_key_id = %s\nsecret_access_key = %s\n", r.URL, u.Access, u.Secret))
	rclone := "env -u AWS_CA_BUNDLE rclone --config " + config + " " // with which it does not start
	must(b, shell(rclone+"mkdir rgw:rclone"))
	ours := sending{"coffer", func() *exec.Cmd { return sender(b, o) }, func() { must(b, shell(rclone+"delete rgw:bench")) }}
	theirs := sending{"rclone", func() *exec.Cmd {
		return shell("exec " + rclone + "rcat --s3-chunk-size 16Mi --streaming-upload-cutoff 0 rgw:rclone/x")
	}, func() { must(b, shell(rclone+"delete rgw:rclone")) }}
	for b.Loop() {
		race(b, 3, min(toBeSent(b), memoryBytes), ours, theirs)
	}
}
