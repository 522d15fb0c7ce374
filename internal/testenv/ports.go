package testenv

import (
	"fmt"
	mathrand "math/rand/v2"
	"net"
)

// Servers listen below the ports that the system gives to outgoing connections
// (32768 and up on Linux): a port that was free when it was picked is then still
// free when its server starts, and when it starts again. portRange's users have
// 15000 to 31799.
const (
	firstPort = 10000
	portCount = 5000
)

// loopbackPorts are n different ports of 127.0.0.1 that nobody listens on now.
func loopbackPorts(n int) ([]int, error) {
	ports := make([]int, 0, n)
	var err error
	for try := 0; len(ports) < n; try++ {
		port := firstPort + mathrand.IntN(portCount)
		l, e := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if e == nil {
			defer l.Close() // held until all are picked: they are different
			ports = append(ports, port)
			continue
		}
		if err = e; try > 100+n {
			return nil, fmt.Errorf("find %d free ports of 127.0.0.1: %w", n, err)
		}
	}
	return ports, nil
}

// portRange is the first of n ports of which a server tries one after the other.
func portRange(n int) int { return firstPort + portCount + mathrand.IntN(16800/n)*n }
