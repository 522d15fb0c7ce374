package testenv

import (
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"syscall"
)

// Servers listen below the ports that the system gives to outgoing connections
// (32768 and up on Linux): a port that was free when it was picked is then still
// free when its server starts, and when it starts again. portRange's users have
// 15000 to 31799.
const (
	firstPort  = 10000
	portCount  = 5000
	rangeCount = 16800
)

// loopbackPorts are n different ports of 127.0.0.1 that nobody listens on now, and
// that no other start will pick, of this process or another, before this one ends.
func loopbackPorts(n int) ([]int, error) {
	ports := make([]int, 0, n)
	for try := 0; len(ports) < n; try++ {
		port := firstPort + mathrand.IntN(portCount)
		err := free(port)
		if err == nil {
			err = claim(port)
		}
		if err == nil {
			ports = append(ports, port)
		} else if try > 100+n {
			return nil, fmt.Errorf("find %d free ports of 127.0.0.1: %w", n, err)
		}
	}
	return ports, nil
}

// portRange is the first of n ports of which a server tries one after the other. Two
// servers that were given the same ones by a full machine would still find enough.
func portRange(n int) int {
	for try := 0; ; try++ {
		first := firstPort + portCount + mathrand.IntN(rangeCount/n)*n
		if claim(first) == nil || try == 100 {
			return first
		}
	}
}

// free tells whether nobody listens on a port.
func free(port int) error {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	return l.Close()
}

// claim keeps a port from everyone else who claims it, until this process ends: some
// servers take seconds from the pick of their ports to listening there, and tests of
// several packages run at once. What is held is the port's number of UDP, which no
// server here uses; the system gives it back however the process ends. Nothing in the
// process refers to it, so that nothing can close it.
func claim(port int) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		_ = syscall.Close(fd)
		return fmt.Errorf("claim port %d: %w", port, err)
	}
	return nil
}
