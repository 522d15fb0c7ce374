package testenv

import (
	"net"
	"runtime"
	"testing"
)

// A port that was picked is nobody else's while its server has still to start.
func TestPortsAreOneStartsOnly(t *testing.T) {
	t.Parallel()
	ports, err := loopbackPorts(5)
	if err != nil {
		t.Fatal(err)
	}
	ports = append(ports, portRange(cephPorts))
	runtime.GC()
	for i, p := range ports {
		if claim(p) == nil {
			t.Errorf("port %d was picked and given to another", p)
		}
		if err := free(p); err != nil {
			t.Errorf("its server cannot listen: %v", err)
		}
		for _, q := range ports[:i] {
			if p == q {
				t.Errorf("port %d was picked twice", p)
			}
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if free(l.Addr().(*net.TCPAddr).Port) == nil {
		t.Error("a port on which somebody listens is free")
	}
}
